# Writes MUTATED, which is ORIGINAL with CHANGE applied.
execute_process(COMMAND ${PATCH} --quiet --fuzz=0 --reject-file=- --output=${MUTATED} ${ORIGINAL}
                        ${CHANGE} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
if(failed)
  file(REMOVE ${MUTATED})
  message(FATAL_ERROR "${CHANGE} no longer applies to ${ORIGINAL}: bring it up to date.\n${said}")
endif()
