// What waits on the device ask of an environment that polls for it.

/** How many waits are being timed at present. While there are any, the environment polls as often as it can. */
export const timedWaits = { count: 0 }

/** Runs `act` as a timed wait. */
export async function timedWait<T>(act: () => Promise<T>): Promise<T> {
  timedWaits.count++
  try {
    return await act()
  } finally {
    timedWaits.count--
  }
}
