import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// `mount -t larder`, fstab, and the scripts that install it all.
    @Suite struct MountHelperTests {
        /// What the helper would run, shown by a stand-in for the binary that prints its arguments.
        private func command(_ words: String...) throws -> Program.Output {
            let scratch = try TemporaryDirectory()
            let stub = try scratch.write("larder", "#!/bin/sh\nfor word; do printf '[%s]' \"$word\"; done\n")
            try Program.check(["chmod", "755", stub])
            var environment = LarderCommand.environment(home: scratch.path)
            environment["LARDER_BINARY"] = stub
            return try Program.run(["\(Checkout.scripts)/mount.larder"] + words, environment: environment)
        }

        @Test func sourcesBecomeTreesAndStores() throws {
            #expect(try command("larder", "/m").text == "[mount][/m]")
            #expect(try command("none", "/m", "-t", "larder").text == "[mount][/m]")
            #expect(try command("store:/a b", "/m").text == "[mount][--store][/a b][/m]")
            #expect(try command("images/docker.io/library/debian:12", "/m").text == "[mount][--tree][images/docker.io/library/debian:12][/m]")
            #expect(try command("/layers/sha256/ab", "/m").text == "[mount][--tree][layers/sha256/ab][/m]")
            #expect(try command("snapshots/sha256/ab", "/m").text == "[mount][--tree][snapshots/sha256/ab][/m]")
        }

        @Test func optionsBecomeFlags() throws {
            let options = "rw,_netdev,nofail,x-systemd.automount,user=me,allow_other,store=/s p,platform=linux/arm64,layout=a=/b,plain_http=h:5000,fetch_timeout=7,log_file=/l,no_passthrough,no_io_uring,nosuid,dev,noexec,ro"
            #expect(try command("larder", "/m", "-o", options).text
                == "[mount][--allow-other][--store][/s p][--platform][linux/arm64][--layout][a=/b][--plain-http][h:5000][--fetch-timeout][7][--log-file][/l][--no-passthrough][--no-io-uring][--dev][--noexec][--read-only][/m]")
        }

        /// What `larder mount` can be told, mount(8) can be told.
        @Test func everyFlagIsAnOption() throws {
            let help = try Program.check([LarderCommand.binary, "mount", "--help"])
            let flags = Set(help.matches(of: /--[a-z-]+/).map { String($0.output) })
            #expect(flags.count > 25, "\(help)")
            // mount(8) has its own words for these; the rest say nothing about a mount.
            let others: Set = ["--tree", "--read-only", "--suid", "--dev", "--noexec", "--foreground", "--json", "--version", "--help", "--passthrough", "--io-uring", "--background-fill"]
            for flag in flags.subtracting(others) {
                let option = String(flag.dropFirst(2)).replacing("-", with: "_")
                let isSwitch = option.hasPrefix("no_") || option == "allow_other"
                let output = try command("cache:c", "/m", "-o", isSwitch ? option : "\(option)=a=b")
                #expect(output.text == "[mount][\(flag)]\(isSwitch ? "" : "[a=b]")[cache:c][/m]", "\(option): \(output.errors)")
            }
        }

        @Test func wrongCallsFailAsMountExpects() throws {
            let unknown = try command("larder", "/m", "-o", "nofial")
            #expect(unknown.status == 32 && unknown.errors.contains("nofial") && unknown.text.isEmpty)
            #expect(try command("larder", "/m", "-s", "-o", "nofial").text == "[mount][/m]")
            #expect(try command("debian:12", "/m").status == 32)
            #expect(try command("larder", "/m", "-o", "remount").status == 32)
            #expect(try command("larder", "/m", "-t", "ext4").status == 32)
            #expect(try command("larder").status == 1)
            #expect(try command("larder", "/m", "-f").text.isEmpty)
            #expect(try command("larder", "/m", "-f", "-o", "nofial").status == 32)
        }

        @Test func mountCommandUsesTheHelper() throws {
            let fixtures = try Fixtures.shared()
            let scratch = try TemporaryDirectory()
            let mountPoint = try scratch.subdirectory("mount")
            try Program.check(["env", "DESTDIR=\(scratch.path)/root", "PREFIX=/usr/local", "\(Checkout.scripts)/install", "--binary", LarderCommand.binary])
            // mount(8) looks in /sbin and nowhere else; in a mount namespace of its own it finds the helper there.
            let script = """
                set -e
                mount -t overlay overlay -o lowerdir=\(scratch.path)/root/sbin:/usr/sbin /usr/sbin
                export LARDER_BINARY=\(scratch.path)/root/usr/local/bin/larder
                for type in larder fuse.larder; do
                    mount -t $type images/local/small:gzip \(mountPoint) -o layout=local=\(fixtures.layouts),store=\(scratch.path)/store,nosuid,noexec,_netdev
                    cat \(mountPoint)/top/hello
                    grep -q ' \(mountPoint) fuse[^ ]* [^ ]*nosuid,nodev,noexec' /proc/self/mounts
                    umount \(mountPoint)
                done
                if mount -t larder larder \(mountPoint) -o no_such_option; then exit 1; else test $? -eq 32; fi
                """
            let output = try Program.run(["unshare", "--mount", "--propagation", "slave", "sh", "-c", script], environment: LarderCommand.environment(home: scratch.path))
            #expect(output.status == 0, "\(output.errors)")
            #expect(output.text == "hello from the top layer\nhello from the top layer\n")
        }

        @Test func uninstallRemovesAllThatInstallWrote() throws {
            let scratch = try TemporaryDirectory()
            let destination = "DESTDIR=\(scratch.path)/root"
            try Program.check(["env", destination, "PREFIX=/opt/larder", "\(Checkout.scripts)/install", "--binary", LarderCommand.binary])
            let files = try Program.check(["find", "\(scratch.path)/root", "-not", "-type", "d"])
            for name in ["/opt/larder/bin/larder", "/sbin/mount.larder", "/sbin/mount.fuse.larder", "/man1/larder.1", "/larder.service", "/larder@.service", "/larder-cache@.service", "/completions/larder"] {
                #expect(files.contains(name), "\(name) is not in \(files)")
            }
            try Program.check(["env", destination, "PREFIX=/opt/larder", "\(Checkout.scripts)/uninstall"])
            #expect(try Program.check(["find", "\(scratch.path)/root", "-not", "-type", "d"]).isEmpty)
        }

        /// The way a newcomer takes, but for the build.
        @Test func quickstartEndsWithAMountedImageAndDoesSoAgain() throws {
            let scratch = try TemporaryDirectory()
            let mountPoint = try scratch.subdirectory("mount")
            let environment = LarderCommand.environment(home: scratch.path, [
                "LARDER_MOUNT": mountPoint, "LARDER_QUICKSTART": "\(scratch.path)/layouts", "LARDER_STORE": "\(scratch.path)/store",
            ])
            defer { umount2(mountPoint, Int32(MNT_DETACH)) }
            for _ in 0..<2 {
                let output = try Program.run(["\(Checkout.scripts)/quickstart", "--binary", LarderCommand.binary], environment: environment)
                #expect(output.status == 0, "\(output.errors)")
                #expect(output.text.contains("bin\netc\n") && output.text.contains("Try next"), "\(output.text)")
            }
            let rootfs = "\(mountPoint)/images/local/busybox:latest/rootfs"
            #expect(try Files.read("\(rootfs)/etc/motd").contains("nobody unpacked"))
            #expect(try Program.check(["chroot", rootfs, "/bin/sh", "-c", "echo from inside; ls /etc"]) == "from inside\nmotd\npasswd\n")
        }

        @Test(.enabled(if: Program.isInstalled("systemd-analyze"), "no systemd on this host"))
        func unitsAreValid() throws {
            let scratch = try TemporaryDirectory()
            try Program.check(["env", "DESTDIR=\(scratch.path)/root", "PREFIX=/usr", "\(Checkout.scripts)/install", "--binary", LarderCommand.binary])
            let units = ["larder.service", "larder@.service", "larder-cache@.service"].map { "\(scratch.path)/root/usr/lib/systemd/system/\($0)" }
            try Program.check(["sed", "-i", "s|/usr/bin/larder|/bin/true|"] + units)
            let output = try Program.run(["systemd-analyze", "verify", "--man=no"] + units)
            #expect(output.status == 0 && !output.errors.contains("larder"), "\(output.errors)")
        }
    }
}
