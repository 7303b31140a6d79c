-- What a guest did by itself under a running VM since somebody has started it: its last boot and how many there were,
-- and when it crashed.
ALTER TABLE vms ADD COLUMN reboots INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN rebooted_at INTEGER;
ALTER TABLE vms ADD COLUMN reboot_reason TEXT;
ALTER TABLE vms ADD COLUMN crashed_at INTEGER;
