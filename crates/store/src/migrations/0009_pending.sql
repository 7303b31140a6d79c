-- What a later daemon has to undo or to finish: a VM that is being made, or deleted. By its own column and no longer by
-- the operations, whose end may not have been recorded.
ALTER TABLE vms ADD COLUMN pending TEXT;
UPDATE vms SET pending = 'create' WHERE state <> 'running' AND started_at IS NULL
    AND id IN (SELECT vm FROM operations WHERE kind = 'create' AND state = 'running');
