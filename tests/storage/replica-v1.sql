-- A replica written by the first version of the schema: recado 0.1, before signatures and rules.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'replica','1-log-and-views','2026-11-23 08:50:27.523248+00:00');
CREATE TABLE channel(
        name text primary key, wall int not null, lamport int not null,
        number int not null, seq int not null) without rowid;
INSERT INTO "channel" VALUES('geral',1700000000003,4,1,4);
INSERT INTO "channel" VALUES('segredos',1700000000004,5,1,5);
CREATE TABLE entry(
        number int not null, seq int not null, lamport int not null, wall int not null, kind int not null,
        author blob, target, id blob, prev int not null, body not null, extra blob, hash blob not null,
        shown int not null default 1, primary key(number, seq)) without rowid;
INSERT INTO "entry" VALUES(1,1,1,1700000000000,1,X'B5AF36895B6B8BEFD4491C0A51DA5471','ana',X'6C6F67696E2D616E61',0,X'',NULL,X'81AC5C149FFD1FF1C4ADF7F0E66CBBD7',1);
INSERT INTO "entry" VALUES(1,2,2,1700000000001,1,X'36ADCAF9BEFC9220D6A615E33B49F8AE','bia',X'6C6F67696E2D626961',0,X'',NULL,X'6E28C642319CC1BEB70D57504787E098',1);
INSERT INTO "entry" VALUES(1,3,3,1700000000002,1,X'59B827DE5517104BB479244731260C2F','caio',X'6C6F67696E2D6361696F',0,X'',NULL,X'32D926FCAF956812E3A555A5C8692C9F',1);
INSERT INTO "entry" VALUES(1,4,4,1700000000003,2,X'B5AF36895B6B8BEFD4491C0A51DA5471','geral',X'63',0,X'',NULL,X'21F78664D66ABE7BFB0F1D01A7711350',1);
INSERT INTO "entry" VALUES(1,5,5,1700000000004,2,X'B5AF36895B6B8BEFD4491C0A51DA5471','segredos',X'70',0,X'7B2270726976617465223A747275657D',NULL,X'79AECB9464949F404F229838FC8D6FBA',1);
INSERT INTO "entry" VALUES(1,6,6,1700000000005,3,X'B5AF36895B6B8BEFD4491C0A51DA5471','geral',X'6D31',0,'olá',NULL,X'B505ED28884D60A13BA5DE10897072B6',1);
INSERT INTO "entry" VALUES(1,7,7,1700000000006,3,X'B5AF36895B6B8BEFD4491C0A51DA5471','segredos',X'6D32',0,'so nossos',NULL,X'DF8ADE95C7873751034044CC28226B3E',1);
INSERT INTO "entry" VALUES(1,8,8,1700000000007,4,X'B5AF36895B6B8BEFD4491C0A51DA5471',X'36ADCAF9BEFC9220D6A615E33B49F8AE',X'6431',0,'segredo',NULL,X'9844431E19C0109625802B701D2296D6',1);
INSERT INTO "entry" VALUES(1,9,9,1700000000008,5,X'B5AF36895B6B8BEFD4491C0A51DA5471',X'36ADCAF9BEFC9220D6A615E33B49F8AE',X'7231',0,X'7B226279223A226F70657261746F72222C22646F223A2273757370656E64222C22726561736F6E223A227370616D227D',NULL,X'F3459F2B5B3E957F50811B0C32E4ACE2',0);
INSERT INTO "entry" VALUES(1,10,10,1700000000009,6,X'B5AF36895B6B8BEFD4491C0A51DA5471','geral',X'7232',0,X'7B22646F223A22746F706963222C2274657874223A226465207475646F20C3A9227D',NULL,X'1C02A52339AAFE08EF172D1F0E3088F9',0);
INSERT INTO "entry" VALUES(1,11,11,1700000000010,77,X'B5AF36895B6B8BEFD4491C0A51DA5471',NULL,NULL,0,X'81A17801',NULL,X'562E85DD73FB96231AE70E9165610FD8',0);
INSERT INTO "entry" VALUES(2,1,4,1700000000000,1,X'B5AF36895B6B8BEFD4491C0A51DA5471','ana',X'6C6F67696E2D616E61',0,X'',NULL,X'1AC2BDDB06084023B65131B450CBE3C9',0);
INSERT INTO "entry" VALUES(2,2,9,1700000000004,3,X'B5AF36895B6B8BEFD4491C0A51DA5471','geral',X'6D31',0,'olá',NULL,X'12F256CEF96FD5B380A66E7B38972AB5',0);
INSERT INTO "entry" VALUES(2,3,10,1700000000009,3,X'B5AF36895B6B8BEFD4491C0A51DA5471','geral',NULL,0,X'FF',NULL,X'D5766C7E78C64E21DECD4167AA97F3E8',0);
CREATE TABLE meta(key text primary key, value) without rowid;
INSERT INTO "meta" VALUES('boots','1');
INSERT INTO "meta" VALUES('derived','{"rules": 1, "kinds": [1, 2, 3, 4]}');
INSERT INTO "meta" VALUES('node','"server-1"');
CREATE TABLE milestone(
        number int not null, time_ms int not null, seq int not null,
        primary key(number, time_ms)) without rowid;
INSERT INTO "milestone" VALUES(1,20000,6);
CREATE TABLE origin(
        number integer primary key, origin text not null unique, node text not null,
        state text not null default 'open');
INSERT INTO "origin" VALUES(1,'server-1.0000000000000001','server-1','open');
INSERT INTO "origin" VALUES(2,'server-2.0000000000000002','server-2','open');
CREATE TABLE peer(
        name text primary key, rank int, address text, confirmed_entries int,
        heard int, offset_ms real) without rowid;
CREATE TABLE quarantine(
        origin text not null, seq int not null, reason text not null, from_node text not null, raw blob,
        primary key(origin, seq, reason, from_node)) without rowid;
INSERT INTO "quarantine" VALUES('server-2.0000000000000002',3,'text is not UTF-8','',NULL);
CREATE TABLE user(
        uid blob primary key, name text not null, shown_name text not null,
        wall int, lamport int, number int, seq int) without rowid;
INSERT INTO "user" VALUES(X'36ADCAF9BEFC9220D6A615E33B49F8AE','bia','bia',1700000000001,2,1,2);
INSERT INTO "user" VALUES(X'59B827DE5517104BB479244731260C2F','caio','caio',1700000000002,3,1,3);
INSERT INTO "user" VALUES(X'B5AF36895B6B8BEFD4491C0A51DA5471','ana','ana',1700000000000,1,1,1);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX entry_stream on entry(kind, target, lamport) where shown;
CREATE INDEX entry_order on entry(kind, lamport) where shown;
CREATE INDEX entry_sent on entry(author, lamport) where shown and kind = 4;
CREATE INDEX entry_id on entry(id);
CREATE VIEW users as
    select u.shown_name as name, u.wall / 1000.0 as timestamp, u.lamport, o.origin, u.seq
    from user u join origin o using(number) where u.lamport is not null
    order by u.lamport, o.origin, u.seq;
CREATE VIEW channels as
    select c.name, c.wall / 1000.0 as timestamp, c.lamport, o.origin, c.seq
    from channel c join origin o using(number)
    order by c.lamport, o.origin, c.seq;
CREATE VIEW channel_messages as
    select e.target as channel, coalesce(u.shown_name, '?') as user, e.body as message,
        e.wall / 1000.0 as timestamp, e.lamport, o.origin, e.seq
    from entry e join origin o using(number) left join user u on u.uid = e.author
    where e.kind = 3 and e.shown
    order by e.lamport, o.origin, e.seq;
CREATE VIEW user_messages as
    select coalesce(s.shown_name, '?') as src, coalesce(d.shown_name, '?') as dst, e.body as message,
        e.wall / 1000.0 as timestamp, e.lamport, o.origin, e.seq
    from entry e join origin o using(number)
        left join user s on s.uid = e.author left join user d on d.uid = e.target
    where e.kind = 4 and e.shown
    order by e.lamport, o.origin, e.seq;
CREATE VIEW replication_log as
    select o.origin, e.seq, e.lamport, e.wall / 1000.0 as timestamp,
        case e.kind when 1 then 'login' when 2 then 'channel' when 3 then 'channel_message'
            when 4 then 'user_message' else 'kind_' || e.kind end as kind,
        lower(hex(e.author)) as author,
        case typeof(e.target) when 'blob' then lower(hex(e.target)) else e.target end as target,
        lower(hex(e.id)) as id, e.prev, lower(hex(e.hash)) as hash, e.shown
    from entry e join origin o using(number)
    order by e.lamport, o.origin, e.seq;
CREATE VIEW peers as
    select name, rank, address, confirmed_entries, heard / 1000.0 as heard, offset_ms
    from peer order by rank, name;
COMMIT;
pragma user_version = 1;
