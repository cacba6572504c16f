import Glibc

/// The variables and the directory that a command starts with, before presets and secrets add to them.
struct RunSetting: Sendable {
    var environment: EnvironmentBlock
    /// Absolute.
    var workingDirectory: String
    var home: String
    /// The lower layer of the root; nil for the host's own.
    var root: String?

    /// BuildKit's, for an image that says none.
    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    init(_ request: RunRequest, image: MountedImage?) throws(RunError) {
        if request.root == nil {
            environment = request.environment
            environment.remove("LARDER_READY_FD")
            workingDirectory = request.currentDirectory
        } else {
            // A root of its own has variables of its own: those of the host name places that are not there.
            environment = EnvironmentBlock((image?.environment ?? []).map { Array($0.utf8) })
            if environment["PATH"] == nil { environment.set("PATH", Self.path) }
            if environment["HOME"] == nil { environment.set("HOME", geteuid() == 0 ? "/root" : "/") }
            if let terminal = request.environment["TERM"] { environment.set("TERM", terminal) }
            workingDirectory = "/"
            if let directory = image?.workingDirectory, directory.hasPrefix("/") { workingDirectory = GoText.clean(directory) }
            root = image?.path ?? request.root.map { $0.hasPrefix("/") ? $0 : request.currentDirectory + "/" + $0 }
        }
        for variable in request.variables {
            let name = String(variable.prefix { $0 != "=" })
            guard !name.isEmpty else { throw .invalid("--env '\(variable)': use NAME=VALUE") }
            if name.utf8.count < variable.utf8.count {
                environment.set(name, String(variable.dropFirst(name.count + 1)))
            } else if let value = request.environment[name] {
                environment.set(name, value)
            }
        }
        if let directory = request.workingDirectory {
            workingDirectory = GoText.clean(directory.hasPrefix("/") ? directory : workingDirectory + "/" + directory)
        }
        let given = environment["HOME"].map { String(decoding: $0, as: UTF8.self) } ?? ""
        home = given.hasPrefix("/") ? given : "/root"
    }
}
