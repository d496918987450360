-- The addresses and secrets of channels, encrypted: a JSON object with url and secret. NULL
-- in rows of earlier versions until the ledger is opened. url and secret of a sealed row
-- say with '' or 'sealed' which of the two there are.
ALTER TABLE notice_channels ADD COLUMN sealed BLOB;
