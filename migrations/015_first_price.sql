-- An order's price is improved step by step. What the cap is measured from is where its leg began:
-- the price of its first order before any of that. Orders of an earlier version have none.

ALTER TABLE broker_orders ADD COLUMN first_price numeric(14,4) CHECK (first_price >= 0);
