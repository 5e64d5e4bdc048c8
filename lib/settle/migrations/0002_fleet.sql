-- SPDX-License-Identifier: BSD-3-Clause
-- Budgets that many hosts share. A budget is cut into blocks, which hosts lease; what a host journals that
-- it gives back becomes a new block. A block's envelopes and fen never change: at any time the blocks, each
-- without what came back of it, are together the budget (hongbao.budget_books).

create table hongbao.budgets (
  campaign integer primary key check (campaign between 1 and 65535),
  envelopes bigint not null check (envelopes > 0),
  fen bigint not null check (fen >= envelopes),
  next_block bigint not null default 1,
  next_number bigint not null default 1,     -- of the next envelope: never given twice, also of what came back
  wanted_at timestamptz,                     -- when a host ran dry and found nothing free
  wanted_by bigint,
  made_at timestamptz not null default now()
);

-- One row a host that ever had a lease. Its term is renewed by hongbao-settle --lease.
create table hongbao.hosts (
  host bigint primary key,
  journal bigint not null,                   -- that it gives from now
  state text not null default 'live' check (state in ('live', 'lost')),
  term_until timestamptz not null,
  seen_at timestamptz not null default now(),
  lost_at timestamptz
);

-- Which host serves a slice: at most one.
create table hongbao.slices (
  slice smallint primary key check (slice between 0 and 31),
  host bigint not null references hongbao.hosts (host),
  since timestamptz not null default now()
);

create table hongbao.blocks (
  campaign integer not null references hongbao.budgets (campaign),
  block bigint not null check (block between 1 and 4294967295),
  first bigint not null check (first between 1 and 4294967295),
  envelopes bigint not null check (envelopes > 0),
  fen bigint not null check (fen >= envelopes),
  split smallint not null check (split between 1 and 3),
  state text not null default 'free' check (state in ('free', 'leased', 'lost')),
  host bigint references hongbao.hosts (host),
  journal bigint,
  leased_at timestamptz,
  confirmed_at timestamptz,                  -- hongbaod said that it is in its journal
  lease_record bigint,                       -- where, once that is settled
  returned bigint not null default 0 check (returned between 0 and envelopes),
  returned_fen bigint not null default 0 check (returned_fen between 0 and fen),
  of_block bigint,                           -- what it came back of; null: cut from the budget
  primary key (campaign, block),
  constraint numbers_once unique (campaign, first),
  constraint leased_to_a_journal check ((state = 'free') = (journal is null) and (state = 'free') = (host is null)),
  constraint all_or_part check ((returned = envelopes) = (returned_fen = fen))
);
create index blocks_free on hongbao.blocks (campaign, block) where state = 'free';
create index blocks_host on hongbao.blocks (host, campaign) where state <> 'free';

-- Of a block of tiers: so many of so much.
create table hongbao.block_tiers (
  campaign integer not null,
  block bigint not null,
  tier smallint not null,
  envelopes bigint not null check (envelopes > 0),
  fen_each bigint not null check (fen_each > 0),
  primary key (campaign, block, tier),
  foreign key (campaign, block) references hongbao.blocks (campaign, block)
);

-- What each host last said of its blocks: durably given, and still in its stocks.
create table hongbao.holdings (
  host bigint not null references hongbao.hosts (host),
  journal bigint not null,
  campaign integer not null references hongbao.budgets (campaign),
  given bigint not null,
  stock bigint not null,
  told_at timestamptz not null default now(),
  primary key (host, journal, campaign)
);

-- ---- records --------------------------------------------------------------------------

-- A block in a journal. One that nobody leased to it is refused.
create table hongbao.leases (
  journal bigint not null,
  record bigint not null,
  campaign integer not null,
  block bigint not null,
  first bigint not null,
  happened timestamptz not null,
  primary key (journal, record),
  constraint block_leased_once unique (campaign, block),
  constraint block_of_a_budget foreign key (campaign, block) references hongbao.blocks (campaign, block)
);

-- Envelopes that a journal gives back.
create table hongbao.returns (
  journal bigint not null,
  record bigint not null,
  campaign integer not null,
  block bigint not null,
  "offset" bigint not null,
  envelopes bigint not null check (envelopes > 0),
  fen bigint not null check (fen >= envelopes),
  tiers integer not null,
  booked boolean not null default false,     -- its block is made; false: not all of its tiers are here yet
  happened timestamptz not null,
  primary key (journal, record),
  constraint envelope_back_once unique (campaign, block, "offset"),
  constraint return_of_a_block foreign key (campaign, block) references hongbao.blocks (campaign, block)
);

create index returns_to_book on hongbao.returns (journal, record) where not booked;

-- Users whose slice came to a host, with what they had won elsewhere. No money moves.
create table hongbao.moved (
  journal bigint not null,
  record bigint not null,
  campaign integer not null,
  usr bigint not null,
  seq bigint not null,
  outcome smallint not null,
  envelope bigint not null,
  fen bigint not null,
  wins bigint not null,
  happened timestamptz not null,
  primary key (journal, record)
);

-- What came back becomes a new block, with numbers of its own.
create function hongbao.take_back(r hongbao.returns) returns void language plpgsql as $$
declare
  parent hongbao.blocks;
  budget hongbao.budgets;
begin
  update hongbao.returns set booked = true where journal = r.journal and record = r.record;
  update hongbao.blocks b set returned = returned + r.envelopes, returned_fen = returned_fen + r.fen
    where b.campaign = r.campaign and b.block = r.block and b.journal = r.journal
    returning * into parent;
  if not found or r."offset" + r.envelopes > parent.envelopes then
    raise check_violation using message =
      format('block %s of campaign %s has no such envelopes in this journal', r.block, r.campaign);
  end if;
  -- What a host has had and not given back is at least what it said that it gave: an older copy of its
  -- journal knows less.
  if (select sum(b.envelopes - b.returned) from hongbao.blocks b
        where b.host = parent.host and b.journal = r.journal and b.campaign = r.campaign)
      < (select k.given from hongbao.holdings k
        where k.host = parent.host and k.journal = r.journal and k.campaign = r.campaign) then
    raise check_violation using message =
      format('host %s gave more of campaign %s than its journal knows of: an older copy?', parent.host, r.campaign);
  end if;
  update hongbao.budgets set next_block = next_block + 1, next_number = next_number + r.envelopes
    where campaign = r.campaign returning * into budget;
  insert into hongbao.blocks (campaign, block, first, envelopes, fen, split, of_block)
    values (r.campaign, budget.next_block - 1, budget.next_number - r.envelopes, r.envelopes, r.fen,
      parent.split, r.block);
  insert into hongbao.block_tiers (campaign, block, tier, envelopes, fen_each)
    select r.campaign, budget.next_block - 1, t.tier, t.envelopes, t.fen_each from hongbao.tiers t
      where t.journal = r.journal and t.record > r.record and t.record <= r.record + r.tiers;
end $$;

-- Books what a journal's records from `first_record` on say of blocks, in the transaction that brings them.
create function hongbao.book(j bigint, first_record bigint) returns void language plpgsql as $$
declare
  l hongbao.leases;
  r hongbao.returns;
begin
  for l in select * from hongbao.leases where journal = j and record >= first_record loop
    update hongbao.blocks b set lease_record = l.record, confirmed_at = coalesce(confirmed_at, now())
      where b.campaign = l.campaign and b.block = l.block and b.journal = j and b.first = l.first;
    if not found then
      raise check_violation using message =
        format('block %s of campaign %s was never leased to this journal', l.block, l.campaign);
    end if;
  end loop;
  for r in select * from hongbao.returns where journal = j and not booked and record + tiers <
      (select next_record from hongbao.journals where journal = j) order by record loop
    perform hongbao.take_back(r);
  end loop;
end $$;

-- ---- leases ---------------------------------------------------------------------------

-- Renews a host's term for so many ms. `owned` are the slices that its configuration says: one that no
-- host has becomes its own. Answers 'ok', or why not: then the host gives nothing when its term is over.
create function hongbao.renew(h bigint, j bigint, owned integer[], ms bigint) returns text
    language plpgsql as $$
declare
  now_host hongbao.hosts;
  other record;
begin
  insert into hongbao.hosts (host, journal, term_until) values (h, j, now()) on conflict do nothing;
  select * into now_host from hongbao.hosts where host = h for update;
  update hongbao.hosts set seen_at = now() where host = h;
  if now_host.state = 'lost' then
    return format('host %s was declared lost at %s', h, now_host.lost_at);
  end if;
  if now_host.journal <> j then
    if exists (select from hongbao.blocks where host = h and state = 'leased' and returned < envelopes) then
      return format('host %s leased blocks with journal %s; declare it lost first, then --rejoin', h,
        lpad(to_hex(now_host.journal), 16, '0'));
    end if;
    update hongbao.hosts set journal = j where host = h;
  end if;
  insert into hongbao.slices (slice, host) select unnest(owned), h on conflict do nothing;
  select * into other from hongbao.slices where slice = any (owned) and host <> h order by slice limit 1;
  if found then
    return format('slice %s is host %s''s', other.slice, other.host);
  end if;
  update hongbao.hosts set term_until = now() + ms * interval '1 ms' where host = h;
  return 'ok';
end $$;

-- Leases the next free block, if there is one and the host's term runs.
create function hongbao.take_block(c integer, h bigint, j bigint) returns setof hongbao.blocks
    language plpgsql as $$
begin
  perform from hongbao.hosts where host = h and journal = j and state = 'live' and term_until > now()
    for share;
  if not found then
    return;
  end if;
  return query update hongbao.blocks b set state = 'leased', host = h, journal = j, leased_at = now()
    where b.campaign = c and b.block = (
      select f.block from hongbao.blocks f where f.campaign = c and f.state = 'free'
        order by f.block limit 1 for update skip locked)
    returning b.*;
end $$;

-- Whether nothing of a budget is left anywhere: no free block, and each host that isn't lost has given all
-- that it leased, as it said itself. What a lost host may have given counts as given.
create function hongbao.budget_done(c integer) returns boolean language sql stable as $$
  select exists (select from hongbao.budgets where campaign = c)
    and not exists (select from hongbao.blocks where campaign = c and state = 'free')
    and not exists (
      select from hongbao.blocks b left join hongbao.holdings k
          on k.host = b.host and k.journal = b.journal and k.campaign = b.campaign
        where b.campaign = c and b.state = 'leased' group by b.host, b.journal
        having sum(b.envelopes - b.returned) <> coalesce(max(k.given), 0))
$$;

-- Declares a host lost: only once its term is over, so that it gives nothing any more wherever it is. Its
-- blocks stay counted as given, but for what its journal, once settled, says that it gives back.
create function hongbao.declare_lost(h bigint) returns text language plpgsql as $$
declare
  lost hongbao.hosts;
begin
  select * into lost from hongbao.hosts where host = h for update;
  if not found then
    return format('there is no host %s', h);
  end if;
  if lost.state = 'lost' then
    return 'ok';
  end if;
  if lost.term_until > now() then
    return format('the term of host %s runs until %s; stop it, or wait', h, lost.term_until);
  end if;
  update hongbao.hosts set state = 'lost', lost_at = now() where host = h;
  update hongbao.blocks set state = 'lost' where host = h and state = 'leased';
  return 'ok';
end $$;

-- Frees blocks that a host leased and that never came into its journal, once that is settled to its end and
-- nobody can bring them in any more, since the term is over under which they were leased.
create function hongbao.free_unused(h bigint, j bigint) returns bigint language plpgsql as $$
declare
  n bigint;
begin
  if exists (select from hongbao.hosts where host = h and term_until > now()) then
    return 0;
  end if;
  if exists (select from hongbao.blocks
      where host = h and journal = j and lease_record is null and confirmed_at is not null) then
    raise check_violation using message =
      format('the journal of host %s lacks blocks that it had: an older copy?', h);
  end if;
  update hongbao.blocks set state = 'free', host = null, journal = null, leased_at = null, confirmed_at = null
    where host = h and journal = j and lease_record is null;
  get diagnostics n = row_count;
  return n;
end $$;

-- Takes a lost host back, with the journal that it has now: once it has given back what it hadn't given, or
-- with a new journal. What is left of an old one stays lost.
create function hongbao.rejoin(h bigint, j bigint) returns text language plpgsql as $$
begin
  perform from hongbao.hosts where host = h and state = 'lost' for update;
  if not found then
    return format('host %s is not lost', h);
  end if;
  if exists (select from hongbao.blocks b where b.host = h and b.state = 'lost' and b.journal = j
      and b.envelopes - b.returned <> (select count(*) from hongbao.wins w
        where w.journal = b.journal and w.campaign = b.campaign
          and w.envelope & 4294967295 between b.first and b.first + b.envelopes - 1)) then
    return format('host %s has not given back yet what is left of its blocks; wait', h);
  end if;
  update hongbao.hosts set state = 'live', lost_at = null, term_until = now(), journal = j where host = h;
  update hongbao.blocks set state = 'leased' where host = h and state = 'lost' and journal = j;
  return 'ok';
end $$;

-- ---- slices ---------------------------------------------------------------------------

-- The slice that a user's shard is in: the top 5 bits of user * 0x9E3779B97F4A7C15 mod 2^64.
create function hongbao.slice(usr bigint) returns integer language sql immutable parallel safe as
  'select div((hongbao.u64($1) * 11400714819323198485) % 18446744073709551616, 576460752303423488)::integer';

-- Gives slices to a host: those that no host has, or a lost one.
create function hongbao.take_slices(wanted integer[], h bigint) returns text language plpgsql as $$
declare
  other record;
begin
  -- None of them comes back meanwhile.
  perform from hongbao.hosts o where o.host in
    (select s.host from hongbao.slices s where s.slice = any (wanted) and s.host <> h) for share;
  select s.slice, s.host into other from hongbao.slices s join hongbao.hosts o using (host)
    where s.slice = any (wanted) and s.host <> h and o.state <> 'lost' order by s.slice limit 1;
  if found then
    return format('slice %s is host %s''s, which is not lost', other.slice, other.host);
  end if;
  insert into hongbao.slices (slice, host) select unnest(wanted), h
    on conflict (slice) do update set host = excluded.host, since = now();
  return 'ok';
end $$;

-- ---- views ----------------------------------------------------------------------------

-- Whether the blocks are the budget, to the fen; and where it is. lost: what lost hosts may have given.
create view hongbao.budget_books as
  select g.campaign, g.envelopes, g.fen,
      coalesce(sum(b.envelopes) filter (where b.state = 'free'), 0) as free,
      coalesce(sum(b.fen) filter (where b.state = 'free'), 0) as free_fen,
      coalesce(sum(b.envelopes - b.returned) filter (where b.state = 'leased'), 0) as leased,
      coalesce(sum(b.fen - b.returned_fen) filter (where b.state = 'leased'), 0) as leased_fen,
      coalesce(sum(b.envelopes - b.returned) filter (where b.state = 'lost'), 0) as lost,
      coalesce(sum(b.fen - b.returned_fen) filter (where b.state = 'lost'), 0) as lost_fen,
      coalesce(sum(b.envelopes - b.returned), 0) = g.envelopes
        and coalesce(sum(b.fen - b.returned_fen), 0) = g.fen as balanced
    from hongbao.budgets g left join hongbao.blocks b using (campaign) group by g.campaign;

-- What lost hosts may have given that nobody knows of: their blocks without what came back and what is
-- settled. It is the most that a campaign can fall short by.
create view hongbao.not_known as
  select b.host, lpad(to_hex(b.journal), 16, '0') as journal_id, b.campaign,
      sum(b.envelopes - b.returned) - (select count(*) from hongbao.wins w
        where w.journal = b.journal and w.campaign = b.campaign) as envelopes,
      sum(b.fen - b.returned_fen) - (select coalesce(sum(w.fen), 0) from hongbao.wins w
        where w.journal = b.journal and w.campaign = b.campaign) as fen
    from hongbao.blocks b where b.state = 'lost' group by b.host, b.journal, b.campaign;

create view hongbao.fleet as
  select h.host, lpad(to_hex(h.journal), 16, '0') as journal_id, h.state, h.term_until, h.seen_at,
      (select array_agg(slice order by slice) from hongbao.slices s where s.host = h.host) as slices,
      (select count(*) from hongbao.blocks b where b.host = h.host) as blocks,
      (select coalesce(sum(stock), 0) from hongbao.holdings k where k.host = h.host and k.journal = h.journal)
        as stock
    from hongbao.hosts h;

-- What came back of blocks is funded again where it is leased next: the sums of all journals, without it.
alter view hongbao.by_campaign rename to by_campaign_with_returns;
create view hongbao.by_campaign as
  select c.campaign, c.envelopes - r.envelopes as envelopes, c.fen - r.fen as fen, c.given, c.given_fen,
      c.bundles, c.bundles_fen, c.refunded_fen, c.envelopes_left - r.envelopes as envelopes_left,
      c.fen_left - r.fen as fen_left, c.first_win, c.last_win
    from hongbao.by_campaign_with_returns c, lateral (
      select coalesce(sum(b.envelopes), 0) as envelopes, coalesce(sum(b.fen), 0) as fen
        from hongbao.returns b where b.campaign = c.campaign) r;

alter view hongbao.records rename to records_of_one_host;
create view hongbao.records as
  select * from hongbao.records_of_one_host
  union all
  select journal, record, 9::smallint, 0::smallint, campaign, block, 0::bigint, first, 0::bigint, 0::bigint,
      happened from hongbao.leases
  union all
  select journal, record, 10::smallint, 0::smallint, campaign, envelopes, fen, block, tiers::bigint, "offset",
      happened from hongbao.returns
  union all
  select journal, record, 11::smallint, outcome, campaign, seq, usr, envelope, fen, wins, happened
    from hongbao.moved;
