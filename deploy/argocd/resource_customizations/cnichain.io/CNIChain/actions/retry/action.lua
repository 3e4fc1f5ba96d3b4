-- Try a change once more that was rolled back or held. The operator acts on a word that was not there before, and the
-- resourceVersion is another one after every write.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["cnichain.io/retry"] = obj.metadata.resourceVersion
return obj
