// Names and values from files, as messages show them.

/** As JSON on one line, cut where it is long. */
export function show(value: unknown): string {
  const text =
    typeof value === 'string' && value.length > 200
      ? JSON.stringify(value.slice(0, 200))
      : (JSON.stringify(value) ?? String(value))
  return text.length > 100 ? `${text.slice(0, 97)}…` : text
}
