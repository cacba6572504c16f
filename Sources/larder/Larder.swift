import ArgumentParser
import Glibc

/// The command line. One file per subcommand in `Commands/`; what they share is beside this file.
@main
struct Larder: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "larder",
        abstract: "The build cache you can ls: container images as directories, fetched as they are read.",
        discussion: """
            EXAMPLES
              larder mount /larder
              ls /larder/images/docker.io/library/debian:12/rootfs
              larder pull debian:12
              larder mount --tree images/docker.io/library/debian:12 /mnt

            SETTINGS come from flags, then from LARDER_* in the environment, then from /etc/larder/config.json
            (root) or $XDG_CONFIG_HOME/larder/config.json. See `man larder`.

            EXIT CODES
              0   done
              1   failed
              3   there is no such image, layer, cache, lease or mount
              4   a registry could not be reached, or refused
              5   `verify` found something wrong
              64  the command line or the configuration is wrong
              75  a cache is in use, or was not free in time
            """,
        version: Version.current,
        subcommands: [
            Mount.self, Unmount.self, RunCommand.self, Pull.self, ImageCommand.self, ProfileCommand.self, IndexCommand.self, CacheCommand.self, LeaseCommand.self, Env.self, Status.self, Du.self, Prune.self, Verify.self,
            Doctor.self,
        ]
    )

    static func main() async {
        // A closed pipe is an error to report, not a reason to die silently in the middle of a store write.
        signal(SIGPIPE, SIG_IGN)
        raiseDescriptorLimit()
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let failure as Failure {
            Terminal.error("larder: \(failure.message)")
            Glibc.exit(failure.code.rawValue)
        } catch where Larder.exitCode(for: error) != .failure || error is ExitCode {
            Larder.exit(withError: error)
        } catch {
            let failure = Failure(error)
            Terminal.error("larder: \(failure.message)")
            Glibc.exit(failure.code.rawValue)
        }
    }
}

extension Larder {
    /// What the limit of open files was when this process began: programs that it runs get that.
    nonisolated(unsafe) private(set) static var originalDescriptorLimit: rlimit?

    /// Spans, indexes, files on their way into the store: all are descriptors.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        originalDescriptorLimit = limit
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

enum Version {
    static let current = "0.1.0"
}
