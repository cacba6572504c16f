import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// A mounted image is good enough to run from.
    @Suite struct ChrootTests {
        /// Imports every module of the standard library that the image has, and names those that do not load.
        private static let importAll = """
            import importlib, pkgutil, sysconfig
            directory = sysconfig.get_path("stdlib")
            failed, loaded = [], 0
            for module in pkgutil.iter_modules([directory, directory + "/lib-dynload"]):
                if module.name in ("antigravity", "this", "idlelib", "__main__"):
                    continue
                try:
                    importlib.import_module(module.name)
                    loaded += 1
                except BaseException as error:
                    failed.append(f"{module.name}: {error!r}")
            print(loaded)
            print("\\n".join(failed))
            """

        @Test(arguments: ["gzip", "estargz"])
        func pythonImportsItsWholeStandardLibrary(tag: String) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let lower = larder.rootfs("\(registry.host)/larder/debian:\(tag)")
            // Overlayfs takes the attributes of the root when it is mounted, and a root is generic until it is entered.
            try Program.check(["ls", lower])

            let (merged, upper) = try overlay(on: lower, in: larder.scratch)
            defer { umount2(merged, Int32(MNT_DETACH)) }

            let script = try larder.scratch.write("import-all.py", Self.importAll)
            try Program.check(["cp", script, merged])
            let output = try Program.check(["chroot", merged, "/usr/bin/python3", "-W", "ignore", "/import-all.py"], limit: 300)
            let lines = output.split(separator: "\n")
            #expect(try #require(Int(lines.first ?? "")) > 230)
            // Debian ships these two in other packages: they fail in the unpacked image just so.
            let unexpected = lines.dropFirst().filter { !$0.hasPrefix("turtle: ") && !$0.hasPrefix("_distutils_system_mod: ") }
            #expect(unexpected.isEmpty)

            // What the program wrote is above, and the image below is as it was.
            #expect(try Files.exists("\(upper)/import-all.py"))
            #expect(try !Files.exists("\(lower)/import-all.py"))
        }

        @Test func aPackageInstallsIntoTheOverlay() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let lower = larder.rootfs("\(registry.host)/larder/debian:zstd")
            try Program.check(["ls", lower])
            let (merged, _) = try overlay(on: lower, in: larder.scratch)
            defer { umount2(merged, Int32(MNT_DETACH)) }
            // dpkg rewrites its database and renames over files of the lower layer: copy-up of everything it touches.
            let script = """
                set -e
                mkdir -p /tmp/p/DEBIAN /tmp/p/usr/share/larder
                printf 'Package: larder-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.example>\\nDescription: x\\n' >/tmp/p/DEBIAN/control
                echo hello >/tmp/p/usr/share/larder/file
                dpkg-deb -b /tmp/p /tmp/p.deb >/dev/null
                dpkg -i /tmp/p.deb >/dev/null
                cat /usr/share/larder/file
                dpkg -r larder-test >/dev/null
                """
            #expect(try Program.check(["chroot", merged, "/bin/sh", "-c", script]) == "hello\n")
        }

        /// Mounts a writable layer above a tree; to be unmounted by the caller.
        private func overlay(on lower: String, in scratch: TemporaryDirectory) throws -> (merged: String, upper: String) {
            let (upper, work, merged) = (try scratch.subdirectory("upper"), try scratch.subdirectory("work"), try scratch.subdirectory("merged"))
            // Colons separate layers there, and every path of an image has some.
            let escaped = lower.split(separator: ":", omittingEmptySubsequences: false).joined(separator: "\\:")
            try Program.check(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=\(escaped),upperdir=\(upper),workdir=\(work)", merged])
            return (merged, upper)
        }
    }
}
