-- How images boot, and what goes into the /root of a VM at its first start.
ALTER TABLE images ADD COLUMN boot TEXT NOT NULL DEFAULT 'overlay' CHECK (boot IN ('overlay', 'direct'));
ALTER TABLE images ADD COLUMN work_seed TEXT;
ALTER TABLE vms ADD COLUMN boot TEXT NOT NULL DEFAULT 'overlay' CHECK (boot IN ('overlay', 'direct'));
ALTER TABLE vms ADD COLUMN work_seed TEXT;
