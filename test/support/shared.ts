// Data that tests read where it is and the repository does not hold: reviews, vocabularies, other people's numbers.
import { join } from 'node:path'

/** The folder that TILEGRAD_SHARED names, else one beside the checkout. Tests that miss it skip and say so. */
export const SHARED = process.env.TILEGRAD_SHARED ?? join(import.meta.dirname, '../../../shared')
