// How many there are of something, as messages and pages say it.

/** A whole number, as `12,345`. */
export const count = (n: number): string => n.toLocaleString('en-US')

/** `1 row`, `12,345 rows`: a number of things whose plural has an s. */
export const counted = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? '' : 's'}`
