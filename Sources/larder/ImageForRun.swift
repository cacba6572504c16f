import Glibc
import LinuxIO
import OCI
import Run

/// An image's tree for a run: `larder mount --tree` as a child, for as long as the run needs it.
struct ImageForRun {
    let settings: Settings
    let options: ImageOptions
    /// Where what is read shall be written, as an access profile.
    var recording: String?

    private struct Config: Decodable {
        struct Defaults: Decodable {
            var Env: [String]?
            var WorkingDir: String?
        }
        var config: Defaults?
    }

    func open(_ reference: String) async throws -> MountedImage {
        var config = Config.Defaults()
        let parsed = try settings.reference(reference)
        try await settings.withLibrary(create: true) { library in
            config = try JSONText.decode(Config.self, from: try await library.image(parsed).configBytes).config ?? config
        }
        let directory = try TemporaryPlace.directory("larder-image")
        do {
            let helper = try mount("\(parsed)", at: directory)
            return MountedImage(path: directory, environment: config.Env ?? [], workingDirectory: config.WorkingDir ?? "", helper: helper) {
                helper.stop()
                rmdir(directory)
            }
        } catch {
            rmdir(directory)
            throw error
        }
    }

    private func mount(_ reference: String, at directory: String) throws -> HelperProcess {
        guard let ready = Pipe.make() else { throw SystemError("pipe") }
        defer { close(ready.read) }
        var arguments = ["/proc/self/exe", "mount", "--foreground", "--tree", "images/\(reference)", "--store", settings.storePath]
        arguments += ["--log-level", options.store.logLevel ?? "warning"]
        if let config = options.store.config { arguments += ["--config", config] }
        let remote = options.remote
        if let platform = remote.platform { arguments += ["--platform", platform] }
        if let limit = remote.fetchTimeout { arguments += ["--fetch-timeout", "\(limit)"] }
        if let trust = remote.indexTrust { arguments += ["--index-trust", trust] }
        for layout in remote.layout { arguments += ["--layout", layout] }
        for host in remote.plainHttp { arguments += ["--plain-http", host] }
        // What the kernel reads by itself would not be seen.
        if let recording { arguments += ["--record-profile", recording, "--no-passthrough"] }
        var environment = EnvironmentBlock.current
        environment.set(Readiness.pipeVariable, "3")
        let helper: HelperProcess
        do {
            defer { close(ready.write) }
            helper = try HelperProcess(arguments + [directory], environment: environment, keeping: [ready.write])
        }
        var byte: UInt8 = 0
        while true {
            let count = read(ready.read, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            if count == 1 { return helper }
            helper.stop()
            throw Failure(.failed, "images/\(reference) could not be mounted")
        }
    }
}
