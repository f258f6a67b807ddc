#!lua
-- Applies one batch: all guards first, then all writes. Every key is declared, so Redis refuses
-- the script before its first write if it cannot write at all (OOM, NOREPLICAS, READONLY).
-- ARGV: now, version, then the operations, each a letter and its operands; keys by index.

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
  local index, than = take(), tonumber(take())
  if not refusal and redis.call('ZCARD', KEYS[tonumber(index)]) >= than then
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

function write.x() -- remove from a set
  local set, member = key(), take()
  redis.call('ZREM', set, member)
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
