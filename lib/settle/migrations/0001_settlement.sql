-- SPDX-License-Identifier: BSD-3-Clause
-- What journals say of money, one row a record. Every row is known by its journal and its record's
-- number there, so a record that comes twice is refused, whoever sends it.
--
-- Money is in fen. Users, packets and journals are unsigned numbers of 64 bits: they are kept as bigint
-- in two's complement, and hongbao.u64() shows them as they are; below 2^63 both are the same.

create schema hongbao;

create table hongbao.migrations (
  number integer primary key,
  mark bigint not null,
  name text not null,
  applied_at timestamptz not null default now()
);

create function hongbao.u64(bigint) returns numeric language sql immutable parallel safe as
  'select case when $1 < 0 then $1 + 18446744073709551616 else $1::numeric end';
create function hongbao.i64(numeric) returns bigint language sql immutable parallel safe as
  'select (case when $1 > 9223372036854775807 then $1 - 18446744073709551616 else $1 end)::bigint';

-- Where each journal's settlement stands. This row moves in the transaction that brings the records.
create table hongbao.journals (
  journal bigint primary key,
  host bigint not null,
  next_record bigint not null default 0 check (next_record >= 0), -- the first that isn't here yet
  -- The batch that holds record next_record - 1: where it is, and what it is known by.
  segment bigint not null default 0,
  at bigint not null default 0,
  batch bigint not null default 0,
  batch_record bigint not null default 0,
  batch_crc bigint not null default 0,
  known_records bigint not null default 0, -- that the journal had when it was last looked at
  known_at timestamptz,
  settled_at timestamptz,
  first_at timestamptz not null default now()
);
create index journals_host on hongbao.journals (host);

-- What campaigns were funded with: the first funding, top-ups, and of tiers each.
create table hongbao.fundings (
  journal bigint not null,
  record bigint not null,
  campaign integer not null check (campaign between 1 and 65535),
  split smallint not null,
  envelopes bigint not null check (envelopes > 0),
  fen bigint not null check (fen >= envelopes),
  tiers integer not null,
  wins_per_user bigint not null,
  happened timestamptz not null,
  primary key (journal, record)
);
create index fundings_campaign on hongbao.fundings (campaign);

create table hongbao.tiers (
  journal bigint not null,
  record bigint not null,
  campaign integer not null check (campaign between 1 and 65535),
  tier smallint not null,
  envelopes bigint not null check (envelopes > 0),
  fen_each bigint not null check (fen_each > 0),
  happened timestamptz not null,
  primary key (journal, record)
);

-- What a campaign gives one user from then on.
create table hongbao.quotas (
  journal bigint not null,
  record bigint not null,
  campaign integer not null check (campaign between 1 and 65535),
  wins_per_user bigint not null,
  happened timestamptz not null,
  primary key (journal, record)
);

-- Envelopes that were given. A bundle's money is in the packet that was made of it, not the user's.
create table hongbao.wins (
  journal bigint not null,
  record bigint not null,
  campaign integer not null check (campaign between 1 and 65535),
  envelope bigint not null check (envelope >> 32 = campaign),
  usr bigint not null check (usr <> 0),
  seq bigint not null check (seq > 0),
  fen bigint not null check (fen > 0),
  op smallint not null,
  bundle boolean not null,
  happened timestamptz not null,
  primary key (journal, record),
  constraint envelope_given_once unique (campaign, envelope),
  constraint request_answered_once unique (usr, campaign, seq)
);

-- Group packets: campaign 0 where a user funded it, else of a bundle. A packet's id may be used again
-- once it is done, so a packet is known by the record that funded it; but only one of an id is open.
create table hongbao.packets (
  journal bigint not null,
  record bigint not null,
  packet bigint not null check (packet <> 0),
  campaign integer not null check (campaign between 0 and 65535),
  usr bigint not null check (usr <> 0),
  seq bigint not null,
  fen bigint not null,
  shares integer not null check (shares > 0),
  split smallint not null,
  hours smallint not null,
  taken integer not null default 0,          -- shares
  taken_fen bigint not null default 0,
  returned integer not null default 0,       -- shares that nobody took in time
  returned_fen bigint not null default 0,
  happened timestamptz not null,
  primary key (journal, record),
  check (fen >= shares),
  constraint packet_gives_what_it_has check (
    taken >= 0 and taken_fen >= taken and returned >= 0 and returned_fen >= 0
    and taken + returned <= shares and taken_fen + returned_fen <= fen
    and (taken + returned < shares or taken_fen + returned_fen = fen))
);
create unique index packet_open_once on hongbao.packets (packet) where taken + returned < shares;
create index packets_packet on hongbao.packets (packet, journal, record);
create index packets_usr on hongbao.packets (usr);

-- Shares that were taken; pack is the record that funded their packet.
create table hongbao.shares (
  journal bigint not null,
  record bigint not null,
  pack bigint not null,
  packet bigint not null,
  campaign integer not null,
  share integer not null check (share > 0),
  usr bigint not null check (usr <> 0),
  seq bigint not null,
  fen bigint not null check (fen > 0),
  happened timestamptz not null,
  primary key (journal, record),
  constraint share_taken_once unique (journal, pack, share),
  constraint user_takes_one_share unique (journal, pack, usr),
  constraint share_of_a_packet foreign key (journal, pack) references hongbao.packets (journal, record)
);
create index shares_usr on hongbao.shares (usr);

-- What nobody took in time: back to the packet's sender, and of a bundle to whoever funded the campaign.
create table hongbao.refunds (
  journal bigint not null,
  record bigint not null,
  pack bigint not null,
  packet bigint not null,
  campaign integer not null,
  usr bigint not null,
  shares integer not null,
  fen bigint not null,
  happened timestamptz not null,
  primary key (journal, record),
  constraint packet_refunded_once unique (journal, pack),
  constraint refund_of_a_packet foreign key (journal, pack) references hongbao.packets (journal, record)
);
create index refunds_usr on hongbao.refunds (usr);

-- Records that a constraint above refused: kept as they are, with the reason, until a person has looked.
create table hongbao.refused (
  journal bigint not null,
  record bigint not null,
  type smallint not null,
  raw bytea not null,                        -- the record's 40 bytes
  usr bigint not null,
  fen bigint not null,
  reason text not null,
  refused_at timestamptz not null default now(),
  primary key (journal, record)
);

-- For the payments side: what it has paid. A record is paid once.
create table hongbao.payments (
  journal bigint not null,
  record bigint not null,
  reference text not null,
  paid_at timestamptz not null default now(),
  primary key (journal, record)
);

-- ---- views ----------------------------------------------------------------------------

-- Every movement of money to somebody: kind is win, share or refund. Of a refund with a campaign the payee
-- is whoever funded that campaign, and usr is null.
create view hongbao.payable as
  select journal, record, 'win' as kind, campaign, usr, fen, happened from hongbao.wins where not bundle
  union all
  select journal, record, 'share', campaign, usr, fen, happened from hongbao.shares
  union all
  select journal, record, 'refund', campaign, case when campaign = 0 then usr end, fen, happened
    from hongbao.refunds;

create view hongbao.to_pay as
  select journal, record, kind, campaign, hongbao.u64(usr) as usr, fen, happened
    from hongbao.payable p
    where not exists (
      select from hongbao.payments d where d.journal = p.journal and d.record = p.record);

create view hongbao.by_campaign as
  select campaign,
      coalesce(f.envelopes, 0) as envelopes, coalesce(f.fen, 0) as fen,
      coalesce(w.given, 0) as given, coalesce(w.given_fen, 0) as given_fen,
      coalesce(w.bundles, 0) as bundles, coalesce(w.bundles_fen, 0) as bundles_fen,
      coalesce(r.refunded_fen, 0) as refunded_fen,
      coalesce(f.envelopes, 0) - coalesce(w.given, 0) as envelopes_left,
      coalesce(f.fen, 0) - coalesce(w.given_fen, 0) as fen_left,
      w.first_win, w.last_win
    from (select campaign, sum(envelopes) as envelopes, sum(fen) as fen
            from hongbao.fundings group by campaign) f
    full join (select campaign, count(*) as given, sum(fen) as given_fen,
              count(*) filter (where bundle) as bundles, sum(fen) filter (where bundle) as bundles_fen,
              min(happened) as first_win, max(happened) as last_win
            from hongbao.wins group by campaign) w using (campaign)
    left join (select campaign, sum(fen) as refunded_fen
            from hongbao.refunds where campaign <> 0 group by campaign) r using (campaign);

create view hongbao.by_user as
  select hongbao.u64(usr) as usr, usr as usr_bigint,
      count(*) filter (where kind = 'win') as wins,
      coalesce(sum(fen) filter (where kind = 'win'), 0) as wins_fen,
      count(*) filter (where kind = 'share') as shares,
      coalesce(sum(fen) filter (where kind = 'share'), 0) as shares_fen,
      count(*) filter (where kind = 'refund') as refunds,
      coalesce(sum(fen) filter (where kind = 'refund'), 0) as refunds_fen,
      sum(fen) as fen
    from hongbao.payable where usr is not null group by usr;

create view hongbao.by_minute as
  select date_trunc('minute', happened) as minute, campaign, kind, count(*) as records, sum(fen) as fen
    from hongbao.payable group by 1, 2, 3;

create view hongbao.refunds_due as
  select r.journal, r.record, hongbao.u64(r.packet) as packet, r.campaign,
      case when r.campaign = 0 then hongbao.u64(r.usr) end as usr, r.shares, r.fen, r.happened
    from hongbao.refunds r
    where r.fen > 0 and not exists (
      select from hongbao.payments d where d.journal = r.journal and d.record = r.record);

-- What isn't settled, by journal, as hongbao-settle saw it last; with what a person has to look at.
create view hongbao.backlog as
  select host, lpad(to_hex(journal), 16, '0') as journal_id, next_record as settled, known_records,
      greatest(known_records - next_record, 0) as waiting,
      (select count(*) from hongbao.refused x where x.journal = j.journal) as refused,
      settled_at, known_at
    from hongbao.journals j;

-- Every row as the journal's record that it was, for hongbao-audit --database. Seeds are secrets, and
-- are left out.
create view hongbao.records as
  select journal, record, 1::smallint as type, split as op, campaign, envelopes as seq, fen as usr,
      0::bigint as id, tiers::bigint as fen, wins_per_user as aux, happened from hongbao.fundings
  union all
  select journal, record, 2::smallint, tier, campaign, envelopes, 0::bigint, 0::bigint, fen_each,
      0::bigint, happened from hongbao.tiers
  union all
  select journal, record, 3::smallint, op, campaign, seq, usr, envelope, fen, bundle::integer::bigint,
      happened from hongbao.wins
  union all
  select journal, record, 5::smallint, 0::smallint, campaign, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
      wins_per_user, happened from hongbao.quotas
  union all
  select journal, record, 6::smallint, split, campaign, seq, usr, packet, fen,
      (shares * 256 + hours)::bigint, happened from hongbao.packets
  union all
  select journal, record, 7::smallint, 3::smallint, campaign, seq, usr, packet, fen, share::bigint,
      happened from hongbao.shares
  union all
  select journal, record, 8::smallint, 0::smallint, campaign, 0::bigint, usr, packet, fen, shares::bigint,
      happened from hongbao.refunds;
