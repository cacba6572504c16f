import CPosixMachine
import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == "--worker", arguments.count == 3 {
    guard var worker = Worker(directory: arguments[1], alike: arguments[2]) else {
        pm_complain("cannot work in \(arguments[1]): \(Answer.errorName(errno))")
        exit(2)
    }
    worker.serve()
    exit(0)
}
pm_print_lines()
do {
    try exit(Machine(arguments).run())
} catch {
    pm_complain("\(error)")
    exit(2)
}
