-- Any new value asks for one rotation; status.lastHandledRotateRequest tells when it is done.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["quayrotator.dev/rotate-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
