-- Actions on a CNIChain. docs/gitops.md tells what each does.
-- Argo CD opens neither the string library nor any that reaches the system.

-- Reasons of Ready under which the same change is tried again only when somebody asks for it.
local given_up = {
  RolledBack = true,
  RolloutFailed = true,
  RollbackFailed = true,
}

local rollout = obj.spec.rollout or {}
local paused = rollout.paused == true
local deleting = obj.metadata.deletionTimestamp ~= nil
local failed = false
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  if condition.type == "Ready" then
    failed = given_up[condition.reason] == true
  end
end

local actions = {}
actions["pause"] = { ["disabled"] = paused or deleting }
actions["resume"] = { ["disabled"] = not paused or deleting }
actions["retry"] = { ["disabled"] = not failed or deleting }
return actions
