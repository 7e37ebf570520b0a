// What a script under Node has to know of `parseArgs`, the parser of command lines that Node brings.

/** Whether `parseArgs` refused the command line. */
export function isBadOption(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
}
