#!lua
-- Applies one batch: all guards first, then all writes. Every key is declared, so Redis refuses the
-- script before its first write if it cannot write at all (OOM, NOREPLICAS, READONLY). What could
-- fail later is checked before the first write, so that no batch is applied by halves.
-- ARGV: now, version, then the guards and the writes. Each guard or write is a letter and its
-- operands; a key is given by its index in KEYS. No letter stands for both a guard and a write.

local now, version = tonumber(ARGV[1]), ARGV[2]
local at = 2

local function take()
  at = at + 1
  return ARGV[at]
end

local function key()
  return KEYS[tonumber(take())]
end

local guarded, conflict = {}, false
local buckets = {}
local refusal = nil

local guard = {}

function guard.v() -- a record's version; empty: absent
  local index, expected = take(), take()
  local record = redis.call('GET', KEYS[tonumber(index)])
  if (record and string.sub(record, 1, 16) or '') ~= expected then
    conflict = true
  end
  guarded[#guarded + 1] = index
  guarded[#guarded + 1] = record
end

function guard.f() -- a set that has fewer members than its limit
  local index, min, than = take(), take(), tonumber(take())
  if not refusal and redis.call('ZCOUNT', KEYS[tonumber(index)], min, '+inf') >= than then
    refusal = {'full', index, 0}
  end
end

function guard.m() -- a counter that stays within its limit
  local index, by, most = take(), tonumber(take()), tonumber(take())
  if not refusal and tonumber(redis.call('GET', KEYS[tonumber(index)]) or 0) + by > most then
    refusal = {'full', index, 0}
  end
end

function guard.r() -- a rate, by the generic cell rate algorithm
  local index, interval, burst = take(), tonumber(take()), tonumber(take())
  local bucket = KEYS[tonumber(index)]
  -- If the clock went back, the stored time can be far ahead. This cap keeps the wait to one
  -- interval.
  local was = math.min(tonumber(redis.call('GET', bucket) or 0), now + interval * burst)
  local full_at = math.max(was, now) + interval
  local room_at = full_at - interval * burst
  if room_at > now then
    refusal = refusal or {'limited', index, room_at - now}
  end
  buckets[#buckets + 1] = {bucket, full_at}
end

function guard.s() -- a sender's share of a bucket
  local taken, forget, most = key(), tonumber(take()), tonumber(take())
  local index, interval, burst = take(), tonumber(take()), tonumber(take())
  local full_at = tonumber(redis.call('GET', KEYS[tonumber(index)]) or 0)
  local left = math.max(burst * interval - math.max(full_at - now, 0), 0)
  local was = math.min(tonumber(redis.call('GET', taken) or 0), now + most * forget)
  local taken_at = math.max(was, now)
  local wait = math.ceil((taken_at - now) * interval / (2 * forget)) - left
  if wait > 0 then
    refusal = refusal or {'limited', index, wait}
  end
  buckets[#buckets + 1] = {taken, math.min(taken_at + forget, now + most * forget)}
end

local write = {}

function write.p() -- put
  local record, lifetime, body = key(), take(), take()
  if lifetime == '' then
    redis.call('SET', record, version .. ' ' .. body)
  else
    redis.call('SET', record, version .. ' ' .. body, 'PX', lifetime)
  end
end

function write.a() -- add to a set
  local set, score, member = key(), take(), take()
  redis.call('ZADD', set, score, member)
end

function write.e() -- add to a fair queue; the arithmetic is explained in fair.rs
  local queue, rounds, length, last = key(), key(), tonumber(take()), tonumber(take())
  local member, flow, group = take(), take(), take()
  local current = 0
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if first then
    current = math.max(math.floor((tonumber(first) + length / 4 * 3 - now) / length), 0)
    redis.call('ZREMRANGEBYSCORE', rounds, '-inf', current)
  else
    redis.call('DEL', rounds)
  end
  local round, arrived = current, now
  if flow ~= '' then
    local next_round = tonumber(redis.call('ZSCORE', rounds, flow) or 0)
    round = math.min(math.max(current, next_round), last)
    local next_of_group = tonumber(redis.call('ZSCORE', rounds, group) or 0)
    if next_of_group <= round then
      arrived = math.max(now - length / 2, 0)
    end
    redis.call('ZADD', rounds, 'GT', round + 1, flow, round + 1, group)
  end
  redis.call('ZADD', queue, string.format('%.0f', arrived + round * length), member)
end

function write.x() -- remove from a set
  local set, member = key(), take()
  redis.call('ZREM', set, member)
end

function write.c() -- add to a counter
  local counter, by = key(), take()
  if redis.call('INCRBY', counter, by) <= 0 then
    redis.call('DEL', counter)
  end
end

local ahead, dropped = {}, 0 -- logs with entries that no record knows, and how many were dropped

function write.l() -- append to a log
  local log, seq, entry = key(), take(), take()
  if ahead[log] then
    -- The log is written anew, because a stream accepts only ids above all that it has had.
    local known = redis.call('XRANGE', log, '-', '0-' .. seq - 1)
    dropped = dropped + #redis.call('XRANGE', log, '0-' .. seq, '+')
    redis.call('DEL', log)
    for _, kept in ipairs(known) do
      redis.call('XADD', log, kept[1], unpack(kept[2]))
    end
    ahead[log] = nil
  end
  redis.call('XADD', log, '0-' .. seq, 'f', entry)
end

function write.t() -- trim a log
  local log, from = key(), take()
  redis.call('XTRIM', log, 'MINID', '0-' .. from)
end

function write.d() -- delete
  local name = key()
  redis.call('DEL', name)
  ahead[name] = nil
end

function write.b() -- publish
  local channel, payload = take(), take()
  redis.call('SPUBLISH', channel, payload)
end

local allowed = redis.acl_check_cmd or function() return true end
local trouble, needed, typed = nil, {}, {}

-- Notes a command that the user may not run. Asks once for each command, because all keys are of
-- one partition. A command that the server lacks ends the script.
local function need(command, ...)
  if not needed[command] then
    needed[command] = true
    if not allowed(command, ...) then
      trouble = 'NOPERM the user may not run ' .. command .. ' on these keys or channels'
    end
  end
end

-- Ends the script if a key is no sorted set, or if the user may not run ZADD.
local function need_set(set)
  if not typed[set] then
    typed[set] = true
    redis.call('ZADD', set, 'XX', 0, '')
  end
end

-- For each kind of write, a function that checks that the user may run its commands and that its
-- keys have the right type. The function moves `at` past the write's operands.
local check = {}

function check.p()
  need('SET', key(), '', 'PX', 1)
  at = at + 2
end

function check.a()
  need_set(key())
  at = at + 2
end

function check.e()
  local queue, rounds = key(), key()
  need_set(queue)
  need_set(rounds)
  need('ZRANGE', queue, 0, 0, 'WITHSCORES')
  need('ZSCORE', rounds, '')
  need('ZREMRANGEBYSCORE', rounds, '-inf', 0)
  need('DEL', rounds)
  at = at + 5
end

function check.x()
  local set = key()
  need_set(set)
  need('ZREM', set, '')
  at = at + 1
end

function check.c()
  local counter = key()
  need('INCRBY', counter, 1)
  need('DEL', counter)
  if not string.match(redis.call('GET', counter) or '0', '^-?%d+$') then
    trouble = 'WRONGTYPE a counter is no number'
  end
  at = at + 1
end

function check.l()
  local log, seq = key(), tonumber(take())
  if not typed[log] then
    typed[log] = true
    need('XADD', log, '0-1', 'f', '')
    local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    if last and tonumber(string.match(last[1], '%d+$')) >= seq then
      ahead[log] = true
      need('XRANGE', log, '-', '+')
      need('DEL', log)
    end
  end
  at = at + 1
end

function check.t()
  redis.call('XTRIM', key(), 'MINID', '0-0')
  at = at + 1
end

function check.d()
  need('DEL', key())
end

function check.b()
  need('SPUBLISH', take(), '')
  at = at + 1
end

local function guards()
  while at < #ARGV do
    local operation = guard[ARGV[at + 1]]
    if not operation then
      return
    end
    at = at + 1
    operation()
  end
end

guards()
if conflict then
  return {'conflict', guarded}
end
if refusal then
  return refusal
end
local first_write = at
while at < #ARGV do
  check[take()]()
end
if buckets[1] then
  need('SET', buckets[1][1], '', 'PX', 1)
end
if trouble then
  return redis.error_reply(trouble)
end
at = first_write
for _, bucket in ipairs(buckets) do
  redis.call('SET', bucket[1], string.format('%.0f', bucket[2]), 'PX', string.format('%.0f', math.max(bucket[2] - now, 1)))
end
while at < #ARGV do
  write[take()]()
end
return {'applied', dropped}
