#!lua
-- Applies one batch: all guards first, then all writes. Every key is declared, so Redis refuses the
-- script before its first write if it cannot write at all (OOM, NOREPLICAS, READONLY). What could
-- fail later is checked before the first write, so that no batch is applied by halves.
--
-- This script is most of Redis's work for a message, so it makes few calls and few functions.
--
-- KEYS: the guarded records, then the buckets and counters, then all others.
-- ARGV: now, version, how many guarded records there are, how many buckets and counters, the
-- versions of the records (empty: absent), then the other guards, the checks and the writes. Each
-- guard, check and write is a letter and its operands; a key is given by its index in KEYS. No
-- letter stands for two kinds.

local call, floor, max, min = redis.call, math.floor, math.max, math.min
local now, version = tonumber(ARGV[1]), ARGV[2]
local records, numbers = tonumber(ARGV[3]), tonumber(ARGV[4])
local last = #ARGV
local at = 5 + records -- where the guards begin

-- Guards.

local found, guarded, conflict = {}, {}, false
for first = 1, records + numbers, 1000 do
  local through = min(first + 999, records + numbers)
  for i, value in ipairs(call('MGET', unpack(KEYS, first, through))) do
    found[first + i - 1] = value
  end
end
for i = 1, records do
  local record = found[i]
  guarded[2 * i - 1], guarded[2 * i] = i, record
  if (record and string.sub(record, 1, 16) or '') ~= ARGV[4 + i] then
    conflict = true
  end
end
if conflict then
  return {'conflict', guarded}
end

local refusal, buckets = nil, {}
local counted = {} -- the sets that were counted, which are known to be sets
local function key(offset)
  return KEYS[tonumber(ARGV[at + offset])]
end
-- The number that a bucket or counter holds.
local function number(offset)
  return tonumber(found[tonumber(ARGV[at + offset])] or 0)
end

-- Until when a bucket is in use, at least now; see bucket.rs.
local function used_until(offset, capacity)
  local holds, most = number(offset), now + capacity
  return holds > most + capacity + 10000 and now or max(min(holds, most), now)
end

while at <= last do
  local letter = ARGV[at]
  if letter == 'f' then -- a set that has fewer members than its limit: set, lowest score, limit
    local set = key(1)
    counted[set] = true
    if call('ZCOUNT', set, ARGV[at + 2], '+inf') >= tonumber(ARGV[at + 3]) then
      refusal = refusal or {'full', ARGV[at + 1], 0}
    end
    at = at + 4
  elseif letter == 'm' then -- a counter that stays within its limit: counter, addition, limit
    if not refusal and number(1) + ARGV[at + 2] > tonumber(ARGV[at + 3]) then
      refusal = {'full', ARGV[at + 1], 0}
    end
    at = at + 4
  elseif letter == 'r' then -- a rate, by the generic cell rate algorithm: bucket, interval, burst
    local bucket, interval, burst = key(1), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local full_at = used_until(1, interval * burst) + interval
    local room_at = full_at - interval * burst
    if room_at > now then
      refusal = refusal or {'limited', ARGV[at + 1], room_at - now}
    end
    buckets[#buckets + 1] = {bucket, full_at}
    at = at + 4
  elseif letter == 's' then
    -- a sender's share of a bucket: what it has taken, how long until one of that is forgotten,
    -- limit, bucket, interval, burst
    local taken, forget, most = key(1), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local interval, burst = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    local left = now + burst * interval - used_until(4, burst * interval)
    local taken_at = used_until(1, most * forget)
    local wait = math.ceil((taken_at - now) * interval / (2 * forget)) - left
    if wait > 0 then
      refusal = refusal or {'limited', ARGV[at + 4], wait}
    end
    buckets[#buckets + 1] = {taken, min(taken_at + forget, now + most * forget)}
    at = at + 7
  else
    break
  end
end
if refusal then
  return refusal
end

-- Checks that the user may run the commands of the writes, and that the keys have the right types.
-- A command that the server lacks ends the script, and so does a key of another type. All keys are
-- in one partition, so a check of rights needs only one of them.

local allowed = redis.acl_check_cmd or function() return true end
local refused = nil -- a command that the user may not run
local asked = false -- whether the right to run ZADD was checked
local ahead = nil -- logs with entries that no record refers to

-- Returns the seq with which a log's entry begins.
local function seq_of(entry)
  return tonumber(string.match(entry, '^%d+'))
end
-- Returns the index of a seq in its log, counted from 0. The seqs of a log have no gaps.
local function place_of(log, seq)
  local first = call('LINDEX', log, 0)
  return first and tonumber(seq) - seq_of(first) or 0
end

local function need(command, ...)
  if not refused and not allowed(command, ...) then
    refused = command
  end
end

while at <= last do
  local letter = ARGV[at]
  if letter == 'A' then -- a set is added to: set
    local set = key(1)
    if not counted[set] then
      call('ZSCORE', set, '')
    end
    if not asked then
      asked = true
      need('ZADD', set, 0, '')
    end
    at = at + 2
  elseif letter == 'P' then -- records or buckets are put: any key
    need('SET', key(1), '', 'PX', 1)
    at = at + 2
  elseif letter == 'B' then -- messages are published: any channel
    need('SPUBLISH', ARGV[at + 1], '')
    at = at + 2
  elseif letter == 'C' then -- a counter is added to
    local counter = key(1)
    -- For a key of another type, MGET returns nil and GET fails.
    local value = found[tonumber(ARGV[at + 1])] or call('GET', counter) or '0'
    if not string.match(value, '^-?%d+$') then
      return redis.error_reply('WRONGTYPE a counter is not a number')
    end
    need('INCRBY', counter, 1)
    need('DEL', counter)
    at = at + 2
  elseif letter == 'E' then -- a fair queue is added to: queue, rounds; both are checked by A, too
    local queue, rounds = key(1), key(2)
    need('ZRANGE', queue, 0, 0, 'WITHSCORES')
    need('ZREMRANGEBYSCORE', rounds, '-inf', 0)
    need('DEL', rounds)
    at = at + 3
  elseif letter == 'L' then -- a log is appended to: log, first seq
    local log = key(1)
    need('RPUSH', log, '')
    local newest = call('LINDEX', log, -1)
    if newest and seq_of(newest) >= tonumber(ARGV[at + 2]) then
      ahead = ahead or {}
      ahead[log] = true
      need('LTRIM', log, 0, 0)
      need('DEL', log)
    end
    at = at + 3
  elseif letter == 'X' then -- members are removed: any set
    need('ZREM', key(1), '')
    at = at + 2
  elseif letter == 'T' then -- a log is trimmed
    call('LLEN', key(1))
    need('LTRIM', key(1), 0, -1)
    at = at + 2
  elseif letter == 'D' then -- names are deleted: any key
    need('DEL', key(1))
    at = at + 2
  else
    break
  end
end
if refused then
  return redis.error_reply('NOPERM the user may not run ' .. refused .. ' on these keys or channels')
end

-- Writes.

local dropped = 0 -- how many log entries that no record refers to were dropped

for _, bucket in ipairs(buckets) do
  call('SET', bucket[1], string.format('%.0f', bucket[2]), 'PX', string.format('%.0f', max(bucket[2] - now, 1)))
end
while at <= last do
  local letter, name = ARGV[at], key(1)
  if letter == 'p' then -- put a record: record, lifetime (or empty), body
    local lifetime, body = ARGV[at + 2], version .. ' ' .. ARGV[at + 3]
    if lifetime == '' then
      call('SET', name, body)
    else
      call('SET', name, body, 'PX', lifetime)
    end
    at = at + 4
  elseif letter == 'a' then -- add to a set: set, score, member
    call('ZADD', name, ARGV[at + 2], ARGV[at + 3])
    at = at + 4
  elseif letter == 'b' then -- publish: channel, payload
    call('SPUBLISH', ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  elseif letter == 'x' then -- remove from a set: set, member
    call('ZREM', name, ARGV[at + 2])
    at = at + 3
  elseif letter == 'c' then -- add to a counter: counter, addition
    if call('INCRBY', name, ARGV[at + 2]) <= 0 then
      call('DEL', name)
    end
    at = at + 3
  elseif letter == 'l' then -- append to a log: log, seq, entry
    local seq = ARGV[at + 2]
    if ahead and ahead[name] then
      local length, kept = call('LLEN', name), max(place_of(name, seq), 0)
      if kept > 0 then
        call('LTRIM', name, 0, kept - 1)
      else
        call('DEL', name)
      end
      dropped = dropped + length - kept
      ahead[name] = nil
    end
    call('RPUSH', name, seq .. ' ' .. ARGV[at + 3])
    at = at + 4
  elseif letter == 'e' then
    -- add to a fair queue, as fair.rs explains: queue, rounds, length, last round, member, flow,
    -- group
    local rounds, length, last_round = key(2), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local member, flow, group = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    local current, next_of_flow, next_of_group = 0, 0, 0
    local first = call('ZRANGE', name, 0, 0, 'WITHSCORES')[2]
    if first then
      current = max(floor((tonumber(first) + length / 4 * 3 - now) / length), 0)
      call('ZREMRANGEBYSCORE', rounds, '-inf', current)
      if flow ~= '' then
        next_of_flow = tonumber(call('ZSCORE', rounds, flow) or 0)
        next_of_group = tonumber(call('ZSCORE', rounds, group) or 0)
      end
    else
      call('DEL', rounds)
    end
    local round, arrived = current, now
    if flow ~= '' then
      round = min(max(current, next_of_flow), last_round)
      if next_of_group <= round then
        arrived = max(now - length / 2, 0)
      end
      call('ZADD', rounds, 'GT', round + 1, flow, round + 1, group)
    end
    call('ZADD', name, string.format('%.0f', arrived + round * length), member)
    at = at + 8
  elseif letter == 't' then -- trim a log: log, first seq to keep
    local dropped_first = place_of(name, ARGV[at + 2])
    if dropped_first > 0 then
      call('LTRIM', name, dropped_first, -1)
    end
    at = at + 3
  else -- delete
    call('DEL', name)
    if ahead then
      ahead[name] = nil
    end
    at = at + 2
  end
end
return {'applied', dropped}
