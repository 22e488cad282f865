const SCHEMA = `
CREATE TABLE customers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  city TEXT,
  notes TEXT,
  vip INTEGER NOT NULL DEFAULT 0 CHECK (vip IN (0, 1)),
  created_at TEXT NOT NULL
);
CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  sku TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  description TEXT,
  price_cents INTEGER NOT NULL,
  weight_kg REAL,
  stock INTEGER NOT NULL DEFAULT 0,
  thumbnail BLOB,
  price_with_tax_cents INTEGER GENERATED ALWAYS AS (price_cents + price_cents * 19 / 100) STORED,
  slug TEXT GENERATED ALWAYS AS (lower(replace(title, ' ', '-'))) VIRTUAL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  customer_id INTEGER NOT NULL REFERENCES customers(id),
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'shipped', 'returned')),
  ordered_at TEXT NOT NULL,
  gift_message TEXT
);
CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders(id) ON DELETE CASCADE,
  product_id INTEGER NOT NULL REFERENCES products(id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  price_cents INTEGER NOT NULL,
  PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE TABLE stock_movements (
  id INTEGER PRIMARY KEY,
  product_id INTEGER NOT NULL REFERENCES products(id),
  change INTEGER NOT NULL,
  reason TEXT NOT NULL
);
CREATE UNIQUE INDEX customers_by_email ON customers(email COLLATE NOCASE);
CREATE INDEX orders_by_customer ON orders(customer_id, ordered_at DESC);
CREATE INDEX open_orders ON orders(ordered_at) WHERE status = 'open';
CREATE INDEX items_by_product ON order_items(product_id);`;

const CUSTOMERS = `
INSERT INTO customers (name, email, city, notes, vip, created_at) VALUES
  ('Ada Lindqvist', 'ada@lindqvist.example', 'Göteborg', 'Rings the bell twice.', 1, '2024-02-29T09:12:00Z'),
  ('Brian O''Hara', 'brian.ohara@mail.example', 'Cork', 'Says "leave it with the neighbours" 🏡', 0, '2024-03-01T18:40:21Z'),
  ('Chiyo 田中', 'chiyo@tanaka.example', '京都', '配達は午後にお願いします', 1, '2024-03-04T04:05:06Z'),
  ('Dmitri Volkov', 'dmitri@volkov.example', NULL, 'Address:' || char(10) || '  2nd floor' || char(10) || '  no lift', 0, '2024-03-09T11:00:00Z'),
  ('Eva-Maria Müller', 'eva@mueller.example', 'Köln', 'Rechnung an die Firma;' || char(13) || char(10) || 'USt-ID liegt vor', 0, '2024-04-17T07:30:00Z');
INSERT INTO customers (name, email, city, notes, vip, created_at)
WITH RECURSIVE n(i) AS (SELECT 6 UNION ALL SELECT i + 1 FROM n WHERE i < 180),
  given(k, name) AS (VALUES (0,'Noor'),(1,'Tomás'),(2,'Jana'),(3,'Wei'),(4,'Amara'),(5,'Lucía'),(6,'Pavel'),(7,'Grace'),(8,'Yusuf'),(9,'Ines'),(10,'Søren')),
  family(k, name) AS (VALUES (0,'de Vries'),(1,'Novák'),(2,'O''Brien'),(3,'Zhang'),(4,'Okafor'),(5,'García'),(6,'Jensen'),(7,'Rossi'),(8,'Demir')),
  town(k, name) AS (VALUES (0,'Utrecht'),(1,'Brno'),(2,'Galway'),(3,'Lagos'),(4,'Sevilla'),(5,NULL),(6,'Aarhus'))
SELECT given.name || ' ' || family.name, 'customer' || i || '@example.com', town.name,
  CASE WHEN i % 9 = 0 THEN 'Called on day ' || i || ': wants a "proper" receipt' END, i % 23 = 0,
  strftime('%Y-%m-%dT%H:%M:%SZ', 1714000000 + i * 98765, 'unixepoch')
FROM n JOIN given ON given.k = i % 11 JOIN family ON family.k = i % 9 JOIN town ON town.k = i % 7;`;

const PRODUCTS = `
INSERT INTO products (id, sku, title, description, price_cents, weight_kg, stock, thumbnail)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64),
  thing(k, name) AS (VALUES (0,'Teapot'),(1,'Notebook'),(2,'Desk Lamp'),(3,'Wool Blanket'),(4,'Chopping Board'),(5,'Candle'),(6,'Bread Knife')),
  style(k, name) AS (VALUES (0,'Small'),(1,'Blue'),(2,'Oak'),(3,'Enamelled'),(4,'Grandmother''s'))
SELECT i, printf('SKU-%04d', i * 7), style.name || ' ' || thing.name || CASE WHEN i > 35 THEN ' No. ' || i ELSE '' END,
  CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'Hand-made.' || char(10) || 'Each one differs a little 🫖.'
    WHEN 2 THEN 'It''s "the" classic; 100% natural' ELSE '' END,
  495 + i * 137 % 9000, round(0.15 + i * 0.37 % 7, 3), i * 31 % 120,
  CASE WHEN i % 5 = 0 THEN NULL ELSE (
    WITH RECURSIVE b(j, hex) AS (
      SELECT 0, '89504E470D0A1A0A0000000D49484452'
      UNION ALL SELECT j + 1, hex || printf('%08X', (i * 2654435761 + j * 40503 * (i + 7)) & 4294967295) FROM b WHERE j < 40 + i
    ) SELECT unhex(hex) FROM b ORDER BY j DESC LIMIT 1) END
FROM n JOIN thing ON thing.k = i % 7 JOIN style ON style.k = i % 5;`;

const ORDERS = `
INSERT INTO orders (customer_id, status, ordered_at, gift_message)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
SELECT 1 + i * 37 % 180,
  CASE i % 10 WHEN 0 THEN 'returned' WHEN 1 THEN 'open' WHEN 2 THEN 'open' WHEN 3 THEN 'paid' ELSE 'shipped' END,
  strftime('%Y-%m-%dT%H:%M:%SZ', 1735700000 + i * 51234, 'unixepoch'),
  CASE WHEN i % 40 = 7 THEN 'Happy birthday!' || char(10) || 'Love, ' || char(10) || 'the "other" side of the family 💐' END
FROM n;
INSERT INTO order_items (order_id, product_id, quantity, price_cents)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2399)
SELECT 1 + i % 900, 1 + (i * 11 + i / 900 * 17) % 64, 1 + i % 3, products.price_cents
FROM n JOIN products ON products.id = 1 + (i * 11 + i / 900 * 17) % 64;
INSERT INTO stock_movements (product_id, change, reason)
SELECT product_id, -sum(quantity), 'sold' FROM order_items GROUP BY product_id;`;

const VIEWS_AND_TRIGGERS = `
CREATE VIEW customer_spending AS
  SELECT customers.id AS customer_id, customers.name, count(DISTINCT orders.id) AS orders,
    coalesce(sum(order_items.quantity * order_items.price_cents), 0) AS spent_cents
  FROM customers LEFT JOIN orders ON orders.customer_id = customers.id
    LEFT JOIN order_items ON order_items.order_id = orders.id
  GROUP BY customers.id;
CREATE VIEW new_orders AS SELECT customer_id, gift_message FROM orders WHERE status = 'open';
CREATE TRIGGER place_order INSTEAD OF INSERT ON new_orders BEGIN
  INSERT INTO orders (customer_id, ordered_at, gift_message)
  VALUES (NEW.customer_id, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), NEW.gift_message);
END;
CREATE TRIGGER items_take_stock AFTER INSERT ON order_items BEGIN
  UPDATE products SET stock = stock - NEW.quantity WHERE id = NEW.product_id;
  INSERT INTO stock_movements (product_id, change, reason) VALUES (NEW.product_id, -NEW.quantity, 'sold; order ' || NEW.order_id);
END;
CREATE TRIGGER price_is_positive BEFORE UPDATE OF price_cents ON products BEGIN
  SELECT CASE WHEN NEW.price_cents < 0 THEN RAISE(ABORT, 'a price cannot be negative') END;
END;`;

/** A small shop: foreign keys, indexes, generated columns, blobs, views and triggers. */
export const shop = {
  name: "shop",
  sql: [SCHEMA, CUSTOMERS, PRODUCTS, ORDERS, VIEWS_AND_TRIGGERS].join("\n"),
};
