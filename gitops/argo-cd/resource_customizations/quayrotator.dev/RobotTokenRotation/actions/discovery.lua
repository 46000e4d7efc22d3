local actions = {}
-- A suspended resource would rotate when it is resumed, which nobody may expect by then.
actions["rotate"] = { ["disabled"] = obj.spec.suspend == true }
return actions
