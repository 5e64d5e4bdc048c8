-- SPDX-License-Identifier: BSD-3-Clause
-- One shake, as one would write it with Redis: looks the user up, draws (2% win), pops an envelope from
-- the list and writes the winner down. KEYS[1] is the user's key; ARGV[1] a random number, since Redis's own
-- math.random gives each script the same. A user who has won is told the same again.
local won = redis.call('GET', KEYS[1])
if won and won ~= '0' then
  return won
end
if tonumber(ARGV[1]) % 50 ~= 0 then
  return 'MISS'
end
local envelope = redis.call('LPOP', 'envelopes')
if not envelope then
  return 'EMPTY'
end
redis.call('SET', KEYS[1], envelope)
return envelope
