-- Exactly one process works an intent: its owner, for as long as the lease is renewed. Whoever takes
-- an intent after that fences the owner before it off.

ALTER TABLE order_intents
    ADD COLUMN owner text,
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false,
    ADD CHECK ((owner IS NULL) = (lease_until IS NULL));
