import Testing
import TestSupport

extension EndToEnd {
    /// A cache in the mount beside a plain directory of the same disk, by `Tests/PosixMachine`. `LARDER_SEED` repeats a run,
    /// `LARDER_POSIX_OPERATIONS` (30,000) says how long it is; the whole proof is 200,000.
    @Suite struct PosixTests {
        @Test func nothingDistinguishesACacheFromAPlainDirectory() throws {
            try Self.compare(Self.operations)
        }

        /// The daemon then reads and writes itself, as on kernels before 6.9.
        @Test func nothingDistinguishesACacheWithoutPassthrough() throws {
            try Self.compare(Self.operations / 4, mount: ["--no-passthrough"], machine: ["--own-cache"])
        }

        private static var operations: Int { Int(Environment.current["LARDER_POSIX_OPERATIONS"] ?? "") ?? 30_000 }

        /// What FUSE cannot do, each with its reason, is in `Tests/PosixMachine/Machine/Generator.swift`. mtime after a store into
        /// mapped memory is here: the kernel does not tell FUSE of it, and `stat` shows it with the next change.
        private static func compare(_ operations: Int, mount: [String] = [], machine: [String] = []) throws {
            let larder = try MountedLarder(mount)
            try Program.check(["mkdir", "\(larder.mountPoint)/caches/posix"])
            let plain = try larder.scratch.subdirectory("plain")
            let seed = SeededGenerator.named("nothingDistinguishesACacheFromAPlainDirectory").seed
            let output = try Program.run(
                [LarderCommand.beside("posix-machine"), "--seed", "\(seed)", "--ops", "\(operations)", "--without", "mapTimes"] + machine + [
                 "--below", "\(larder.store)/caches/posix/instances/0", "\(larder.mountPoint)/caches/posix", plain],
                limit: 600)
            #expect(output.status == 0, "\(output.text)\(output.errors)\(larder.log.suffix(2000))")
        }

        /// stress-ng's filesystem class, all at once. `LARDER_STRESS_SECONDS` (20); the whole proof is 300. Left out is what works on
        /// other filesystems than the one it is given: on /proc, on new mounts, on all mounts of the host.
        @Test func stressNGIsContent() throws {
            let larder = try MountedLarder()
            let place = "\(larder.mountPoint)/caches/stress"
            try Program.check(["mkdir", place])
            let seconds = Int(Environment.current["LARDER_STRESS_SECONDS"] ?? "") ?? 20
            let output = try Program.run(
                // Some of it makes files where it is started, and leaves them there when it is ended.
                ["env", "-C", larder.scratch.path, "stress-ng", "--class", "filesystem", "--all", "1", "--timeout", "\(seconds)s", "--temp-path", place,
                 "--exclude", "bind-mount,binderfs,eventfd,fanotify,io,procfs"],
                limit: Double(seconds) + 150)
            #expect(output.status == 0, "\(output.text.suffix(4000))\(output.errors.suffix(4000))\(larder.log.suffix(2000))")
            #expect(larder.isMounted && larder.daemon?.isRunning == true)
        }

        /// A machine that finds nothing anywhere proves nothing: tmpfs keeps other sizes of directories.
        @Test func theMachineFindsWhatIsDifferent() throws {
            let scratch = try TemporaryDirectory()
            let (other, plain) = (try scratch.subdirectory("other"), try scratch.subdirectory("plain"))
            try Program.check(["mount", "-t", "tmpfs", "none", other])
            defer { _ = try? Program.run(["umount", other]) }
            let output = try Program.run([LarderCommand.beside("posix-machine"), "--seed", "1", "--ops", "1000", other, plain], limit: 120)
            #expect(output.status == 1)
            #expect(output.text.contains("are enough"), "\(output.text)")
        }
    }
}
