/** What random draws begin with: the same ones every time, unless GRADCHECK_SEED says otherwise. */
export const SEED = Number(process.env.GRADCHECK_SEED ?? 20260)
