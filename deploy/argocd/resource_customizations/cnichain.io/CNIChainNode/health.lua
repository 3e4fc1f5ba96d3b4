-- Health of a CNIChainNode: the chain on one node. docs/gitops.md tells what each verdict means.
-- Argo CD opens neither the string library nor any that reaches the system.

-- Reasons that are not a step on the way of a node that joins: somebody had better look at the node.
local broken = {
  CiliumDownClosed = true,
  CiliumDownOpen = true,
  ConfDirUnusable = true,
  ConflistConflict = true,
  ConflistShadowed = true,
  ConflistUnsafeFile = true,
  ConflistWriteFailed = true,
  DropInInvalid = true,
  PrimaryConflistInvalid = true,
  SpecInvalid = true,
}

local status = obj.status or {}
local ready = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The agent has not reported on this spec yet." }
end

local health = "Progressing"
if obj.metadata.deletionTimestamp ~= nil then
  health = "Progressing" -- whatever Ready says: what is on its way out is never Healthy
elseif ready.status == "True" then
  health = "Healthy"
elseif broken[ready.reason] then
  health = "Degraded"
elseif ready.reason == "NodeFrozen" then
  health = "Suspended"
end
return { status = health, message = ready.message }
