-- Degraded: somebody must act, or it has failed three times in a row. Until then trouble may pass by itself.
local hs = { status = "Progressing", message = "Waiting for the operator" }
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions["Ready"]
if obj.spec.suspend then
  hs.status = "Suspended"
  hs.message = "spec.suspend is true"
  if ready ~= nil then
    hs.message = hs.message .. "; " .. ready.message
  end
  return hs
end
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
if ready == nil then
  return hs
end
hs.message = ready.message
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  hs.status = "Degraded"
elseif ready.status == "True" then
  hs.status = "Healthy"
elseif ready.status == "False" and (obj.status.consecutiveFailures or 0) >= 3 then
  hs.status = "Degraded"
end
return hs
