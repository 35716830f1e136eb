"""A short run of what scripts/soak does for thirty: KEPMD_SOAK_SECONDS, KEPMD_SOAK_SEED."""

import os
import random

from lab.soak import Soak

SHORT = os.environ.get("KEPMD_CUT_SECONDS") == "0"    # nothing that lasts
SECONDS = float(os.environ.get("KEPMD_SOAK_SECONDS", "20" if SHORT else "40"))
SEED = int(os.environ.get("KEPMD_SOAK_SEED") or random.randrange(1 << 31))


def test_random_faults_while_pods_come_and_go(cluster, shared_network, epmd_binary, tmp_path, closing):
    soak = Soak(epmd_binary, cluster, shared_network, tmp_path, closing, SECONDS, SEED)
    try:
        soak.run()
    except AssertionError as error:
        log = "\n".join(soak.epmd.log_lines()[-40:])
        raise AssertionError(f"seed {SEED}: {error}\n{log}") from error
    soak.report()
