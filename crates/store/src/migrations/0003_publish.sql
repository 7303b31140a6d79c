-- Ports of the host that lead into the VM: a JSON list of {udp, address, host, guest}.
ALTER TABLE vms ADD COLUMN publish TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(publish));
