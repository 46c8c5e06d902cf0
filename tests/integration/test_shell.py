#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""Shell scripts and lspci see the host's functions as on a machine that has them."""

from ferrytest import BDF, check, main


def shell(host, script, ok=True):
    return host.run("sh", "-euc", script, ok=ok)


def lines(host, script):
    return shell(host, script).stdout.split()


def test_devices(scratch):
    host = scratch.host()
    address, _ = host.disk()
    names = lines(host, "ls /sys/bus/pci/devices")
    check(address in names, f"{address} is not in {names}")
    listed = BDF.findall(host.ferry("ls", "-o", "json").stdout)
    check(set(listed) <= set(names), f"ferry ls has {listed}, /sys/bus/pci/devices {names}")
    where = lines(host, f"readlink -f /sys/bus/pci/devices/{address}")[0]
    check(where.startswith("/sys/devices/ferry"), where)


def test_attributes(scratch):
    host = scratch.host()
    address, _ = host.disk()
    at = f"/sys/bus/pci/devices/{address}"
    check(lines(host, f"cat {at}/class") == ["0x010802"], "class")
    vendor, device = lines(host, f"cat {at}/vendor {at}/device")
    check(vendor.startswith("0x") and device.startswith("0x"), f"{vendor} {device}")
    check(lines(host, f"basename $(readlink {at}/driver)") == ["vfio-pci"], "driver")
    config = shell(host, f"od -An -tx1 -N4 {at}/config").stdout.split()
    check("0x" + config[1] + config[0] == vendor and "0x" + config[3] + config[2] == device, f"config: {config}")
    group = lines(host, f"basename $(readlink {at}/iommu_group)")[0]
    check(group in lines(host, "ls /dev/vfio"), f"no /dev/vfio/{group}")
    check(address in lines(host, f"ls /sys/kernel/iommu_groups/{group}/devices"), "iommu_groups")
    shell(host, f"cat {at}/no_such_attribute", ok=False)
    shell(host, f"echo 1 > {at}/vendor", ok=False)


def test_bind(scratch):
    host = scratch.host()
    address, _ = host.disk()
    at, drivers = f"/sys/bus/pci/devices/{address}", "/sys/bus/pci/drivers"
    shell(host, f"""
        echo {address} > {drivers}/vfio-pci/unbind
        test ! -e {at}/driver
        ! test -e {drivers}/vfio-pci/{address}
        echo vfio-pci > {at}/driver_override
        test "$(cat {at}/driver_override)" = vfio-pci
        echo {address} > {drivers}/vfio-pci/bind
        test "$(basename "$(readlink {at}/driver)")" = vfio-pci
        test -e {drivers}/vfio-pci/{address}
        echo > {at}/driver_override
    """)
    shell(host, f"echo 0000:77:00.0 > {drivers}/vfio-pci/unbind", ok=False)
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1")


def test_unbound_is_not_usable(scratch):
    host = scratch.host()
    address, _ = host.disk()
    shell(host, f"echo {address} > /sys/bus/pci/drivers/vfio-pci/unbind")
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1", ok=False)
    shell(host, f"""
        echo vfio-pci > /sys/bus/pci/devices/{address}/driver_override
        echo {address} > /sys/bus/pci/drivers_probe
    """)
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1")


def test_bash(scratch):
    """bash, cd into the tree, relative names, a loop over a glob."""
    host = scratch.host()
    address, _ = host.disk()
    out = host.run("bash", "-euc", "cd /sys/bus/pci/devices; for d in *; do echo \"$d $(<$d/class)\"; done").stdout
    check(f"{address} 0x010802" in out, out)


def test_lspci(scratch):
    host = scratch.host()
    address, _ = host.disk()
    out = host.run("lspci", "-Dnn").stdout
    check(any(address in line and "[0108]" in line for line in out.splitlines()), out)
    out = host.run("lspci", "-Dvvv", "-k", "-s", address).stdout
    check("Kernel driver in use: vfio-pci" in out, out)
    check("MSI-X" in out, out)


def test_rest_of_the_system(scratch):
    """What is not ours looks and works as ever."""
    host = scratch.host()
    host.disk()
    out = shell(host, """
        cd "$HOME"; echo hello > file; cat file; mkdir -p d/e; mv file d/e; ls d/e; cat d/e/file | wc -c; rm -r d
        test -r /proc/self/status; ls /sys/kernel >/dev/null; ls / >/dev/null; (exit 3) || echo $?
    """).stdout.split()
    check(out == ["hello", "file", "6", "3"], str(out))


main()
