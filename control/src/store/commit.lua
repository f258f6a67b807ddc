#!lua
-- Applies one batch: all guards first, then all writes. Every key is declared, so Redis refuses
-- the script before its first write if it cannot write at all (OOM, NOREPLICAS, READONLY).
-- ARGV: now, version, then the guards and the writes, each a letter and its operands; keys by index.
-- A letter is a guard or a write, never both.

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

function guard.f() -- a set with fewer members
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
  local full_at = math.max(tonumber(redis.call('GET', bucket) or 0), now) + interval
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
  local taken_at = math.max(tonumber(redis.call('GET', taken) or 0), now)
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

function write.l() -- append to a log
  local log, seq, entry = key(), take(), take()
  redis.call('XADD', log, '0-' .. seq, 'f', entry)
end

function write.t() -- trim a log
  local log, from = key(), take()
  redis.call('XTRIM', log, 'MINID', '0-' .. from)
end

function write.d() -- delete
  redis.call('DEL', key())
end

function write.b() -- publish
  local channel, payload = take(), take()
  redis.call('SPUBLISH', channel, payload)
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
for _, bucket in ipairs(buckets) do
  redis.call('SET', bucket[1], string.format('%.0f', bucket[2]), 'PX', string.format('%.0f', math.max(bucket[2] - now, 1)))
end
while at < #ARGV do
  write[take()]()
end
return {'applied'}
