-- Where a machine was made, as its provider names the place; '': not recorded, or the provider does not tell.
ALTER TABLE node ADD COLUMN place TEXT NOT NULL DEFAULT '';
