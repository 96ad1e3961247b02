-- Optional, per site, before the first load: a ministry's large tables in one partition per province.
-- Needs the Partitioning option. Not run against a real Oracle by us; its statements are judged by the tests' grammar.
-- Run as the hub's user in SQL*Plus after `hub db upgrade`, hub stopped, tables empty. List your provinces first.
-- What it drops must be empty: the first block refuses otherwise, and SQL*Plus then ends without having done anything.
-- Comments on columns are not copied; nothing reads them. Look at the result:
--   SELECT table_name, partition_name FROM user_tab_partitions ORDER BY 1, partition_position;
-- A new province: ALTER TABLE g_xs SPLIT PARTITION p_rest VALUES ('15') INTO (PARTITION p15, PARTITION p_rest);
-- Repeat the block for g_xs_xj, g_xs_sx, g_xs_jtcy, g_xs_jz by their names; the school's index where the table has xxdm.
WHENEVER SQLERROR EXIT FAILURE
DECLARE
  n NUMBER;
BEGIN
  SELECT COUNT(*) INTO n FROM (SELECT pk FROM g_xs WHERE ROWNUM = 1 UNION ALL SELECT pk FROM h_xs WHERE ROWNUM = 1);
  IF n > 0 THEN
    RAISE_APPLICATION_ERROR(-20001, 'g_xs or h_xs holds rows: nothing was changed');
  END IF;
END;
/
CREATE TABLE p_xs
PARTITION BY LIST (node) (
  PARTITION p11 VALUES ('11'),
  PARTITION p13 VALUES ('13'),
  PARTITION p_rest VALUES (DEFAULT)
)
AS SELECT * FROM g_xs WHERE 1 = 0
/
DROP TABLE g_xs
/
ALTER TABLE p_xs RENAME TO g_xs
/
ALTER TABLE g_xs ADD CONSTRAINT pk_g_xs PRIMARY KEY (node, pk) USING INDEX LOCAL
/
CREATE INDEX ix_g_xs_school ON g_xs (node, xxdm) LOCAL
/
-- Versions that ended, as many again in a few years: the same, without a key.
CREATE TABLE p_xs_old
PARTITION BY LIST (node) (
  PARTITION p11 VALUES ('11'),
  PARTITION p13 VALUES ('13'),
  PARTITION p_rest VALUES (DEFAULT)
)
AS SELECT * FROM h_xs WHERE 1 = 0
/
DROP TABLE h_xs
/
ALTER TABLE p_xs_old RENAME TO h_xs
/
CREATE INDEX ix_h_xs ON h_xs (node, pk) LOCAL
/
