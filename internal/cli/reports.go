package cli

// reportsFolder is where runs land unless --reports says otherwise.
const reportsFolder = "reports"
