// Numbers of bytes for people.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes in decimal units with three significant digits: `27.9 MB`, `16.4 TB`. */
export function showBytes(bytes: number): string {
  let unit = 0
  let shown = Number(bytes.toPrecision(3))
  while (shown >= 1000 && unit < UNITS.length - 1) {
    unit++
    shown = Number((bytes / 1000 ** unit).toPrecision(3))
  }
  return `${shown} ${UNITS[unit]}`
}
