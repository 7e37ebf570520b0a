// Waits for the device that are being timed: meanwhile an environment that polls it does so as often as it can.

/** The number of timed waits under way. */
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
