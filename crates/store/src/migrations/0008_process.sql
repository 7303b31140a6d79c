-- The process of a running VM's VMM, as `process.json` in its folder has it: for when that folder is gone.
ALTER TABLE vms ADD COLUMN process TEXT;
