ALTER TABLE catalogue RENAME TO catalog;
