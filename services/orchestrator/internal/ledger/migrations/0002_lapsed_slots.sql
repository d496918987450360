-- A slot that a run covers is decided again when a person stopped that run.
DROP TRIGGER slots_transition;
CREATE INDEX slots_covered ON slots (due_at) WHERE state = 'covered';
-- A slot that fired or was missed stays so, and one that was decided never waits again.
CREATE TRIGGER slots_transition BEFORE UPDATE OF state ON slots
WHEN OLD.state <> NEW.state AND (
  NEW.state = 'pending'
  OR OLD.state IN ('fired', 'missed')
  OR OLD.state = 'covered' AND NOT EXISTS (SELECT 1 FROM run_details WHERE id = OLD.run_id AND outcome IN ('cancelled', 'failed')))
BEGIN
  SELECT RAISE(ABORT, 'the slot was decided before');
END;
