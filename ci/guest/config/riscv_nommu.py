# SPDX-License-Identifier: GPL-2.0
# For kunit.py --qemu_config: RISC-V without an MMU, started in machine mode.  The option of
# QEMU's machine has a name in each series, in 6.1/ and 6.12/kunit-nommu.config.
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='riscv',
			   kconfig='''
CONFIG_MMU=n
CONFIG_NONPORTABLE=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_SERIAL_OF_PLATFORM=y''',
			   qemu_arch='riscv64',
			   kernel_path='arch/riscv/boot/Image',
			   kernel_command_line='console=ttyS0',
			   extra_qemu_params=['-machine', 'virt', '-bios', 'none'])
