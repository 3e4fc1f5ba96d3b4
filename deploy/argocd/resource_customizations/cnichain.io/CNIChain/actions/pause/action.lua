-- Hold the rollout where it is: no further node gets the change. The chain on the nodes stays guarded.
if obj.spec.rollout == nil then
  obj.spec.rollout = {}
end
obj.spec.rollout.paused = true
return obj
