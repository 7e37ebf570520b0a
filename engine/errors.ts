// The one kind of error that is the user's to mend: bad options, files, shapes. The command line prints its message
// on one line of stderr and exits with status 2; anything else that is thrown is a bug of ours and keeps its stack.

/** Says what is wrong and where, in one line. */
export class UserError extends Error {
  override readonly name = 'UserError'
}
