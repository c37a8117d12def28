-- When an infrastructure is to end, in seconds since the epoch; NULL: never. And what it may cost, as JSON; NULL: anything.
ALTER TABLE infrastructure ADD COLUMN expires_at REAL;
ALTER TABLE infrastructure ADD COLUMN budget TEXT;
