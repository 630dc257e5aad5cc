#!/bin/bash
# sqlite3.sh - a scripted workload: tables, indices, joins, window functions, text, a vacuum.
# Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=sqlite3
real_needs='/usr/bin/sqlite3=sqlite3'
real_process='(.*/)?sqlite3'

# Multiplying by a number without a common factor with the modulus mixes the rows.
real_prepare() {
    cat >workload.sql <<'SQL'
pragma synchronous = off;
pragma temp_store = memory;
pragma cache_size = -20000;
create table person (id integer primary key, name text, town integer, born integer);
create table town (id integer primary key, name text, region integer);
create table sale (id integer primary key, person integer, cents integer, note text);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
    insert into town select i, 'town ' || (i * 7919 % 2003), i * 31 % 17 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
    insert into person select i, printf('%s-%06x', char(65 + i % 26, 97 + i * 7 % 26), i * 48271 % 65537),
        1 + i * 131 % 2000, 1930 + i * 17 % 80 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 240000)
    insert into sale select i, 1 + i * 48271 % 60000, i * 69621 % 100003,
        substr('the quick brown fox jumps over the lazy dog and back again', 1 + i % 20, 5 + i % 30)
        from n;
commit;
create index person_town on person (town, born);
create index sale_person on sale (person);
create index sale_note on sale (note, cents);
analyze;
select region, count(*), sum(cents), max(s.note) from sale s join person p on p.id = s.person
    join town t on t.id = p.town group by region order by region;
select t.name, count(distinct p.name), group_concat(distinct p.born / 10)
    from town t left join person p on p.town = t.id where t.id % 50 = 0 group by t.id order by 1;
select * from (select person, cents, rank() over (partition by person order by cents desc, id) r
    from sale) where r = 1 and person % 4001 = 0 order by person;
select count(*) from sale a join sale b on a.note = b.note and a.cents = b.cents and a.id < b.id;
update sale set note = upper(note) || person where id % 3 = 0;
delete from sale where id % 7 = 0;
create virtual table words using fts5(body);
insert into words select note from sale where id % 5 = 0;
select count(*) from words where words match 'brown AND fox';
vacuum;
pragma integrity_check;
select json_group_array(json_object('name', name, 'born', born)) from person where id % 2000 = 0;
.sha3sum
SQL
}

real_run() {
    on_heap sqlite3 -bail test.db <"$real_inputs/workload.sql" || return 1
    on_heap sqlite3 -bail test.db .dump >dump || return 1
    on_heap sqlite3 -bail copy.db <dump || return 1
    on_heap sqlite3 copy.db .sha3sum
}

real_main "$@"
