-- Health of a CNIChain. docs/gitops.md tells what each verdict means.
-- Argo CD opens neither the string library nor any that reaches the system.

-- Reasons of Ready under which the operator goes on by itself, but a person had better look.
local overdue = {
  ProgressDeadlineExceeded = true,
  DriftFight = true,
}

-- Reasons of Ready under which the operator waits because a person has asked it to.
local held = {
  Suspended = true,
  Paused = true,
  ApprovalRequired = true,
}

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
local stalled = conditions.Stalled
local generation = obj.metadata.generation

if ready == nil or status.observedGeneration ~= generation then
  local message = "The operator has not seen this CNIChain yet."
  if ready ~= nil then
    message = "The operator has not seen generation " .. generation .. " yet."
  end
  if obj.metadata.deletionTimestamp ~= nil then
    message = "The operator has not seen yet that it is being deleted."
  end
  return { status = "Progressing", message = message }
end

local health = "Progressing"
if obj.metadata.deletionTimestamp ~= nil then
  health = "Progressing" -- whatever Ready says: what is on its way out is never Healthy
elseif stalled ~= nil and stalled.status == "True" then
  health = "Degraded"
elseif ready.status == "True" then
  -- Reconciling may be True beside it: an outage that has just begun does not make the chain unhealthy.
  health = "Healthy"
elseif overdue[ready.reason] then
  health = "Degraded"
elseif held[ready.reason] then
  health = "Suspended"
end
return { status = health, message = ready.message }
