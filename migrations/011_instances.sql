-- Which rules a process goes by: instances whose files differ would decide differently.
ALTER TABLE instance_metadata ADD COLUMN config_hash text NOT NULL DEFAULT '';
