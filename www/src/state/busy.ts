/** Whether something is done to the image already. */

import { computed } from '@preact/signals'
import { changingFiles } from './change-files'
import { checking } from './check'
import { copying } from './copy-up'
import { unlocking } from './edit'
import { keySlotWork } from './key-slots'
import { saving } from './save'
import { snapshotWork } from './snapshots'
import { isRunning } from './work'

/** True while the image is saved, or a long operation runs on it. Nothing else may begin then, for each needs the image unchanged. */
export const busy = computed(
  () =>
    saving.value !== null ||
    [unlocking, changingFiles, copying, snapshotWork, keySlotWork, checking].some((work) => isRunning(work.value)),
)
